"""Notices: what runs that follow each other have to say is said once, until it changes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from retrieval.notices import Notices

ROOT = Path(__file__).parents[2]
A, B = Path("/photos/a"), Path("/photos/b")


def test_a_problem_is_said_once() -> None:
    notices = Notices()
    assert notices.fresh(["a is not mounted"], []) == ("a is not mounted",)
    assert notices.fresh(["a is not mounted"], []) == ()
    assert notices.fresh(["b is not mounted", "a is not mounted"], []) == ("b is not mounted",)


def test_a_problem_that_was_gone_is_said_again() -> None:
    notices = Notices()
    notices.fresh(["a is not mounted"], [])
    assert notices.fresh([], []) == ()
    assert notices.fresh(["a is not mounted"], []) == ("a is not mounted",)


def test_a_run_over_another_folder_says_nothing_of_a_problem() -> None:
    notices = Notices()
    notices.fresh(["a cannot be read"], [A])
    notices.fresh([], [B])
    assert notices.fresh(["a cannot be read"], [A]) == ()
    notices.fresh([], [A.parent])
    assert notices.fresh(["a cannot be read"], [A]) == ("a cannot be read",)


# In a process that may open no more files, which therefore cannot be told of any change.
UNWATCHED = """
import json, os, resource, sys
from pathlib import Path
import watchfiles
from retrieval import watch

watch.UNWATCHED_SECONDS = 0.01
said = []
watchers = watch.Watchers(said.append)
free = os.dup(1)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
watchers.start([Path(sys.argv[1])], True)
for _ in range(5):
    watchers.changes.get(timeout=30)
watchers.stop()
print(json.dumps(said))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
def test_why_a_folder_cannot_be_watched_is_said_once(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", UNWATCHED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    [said] = json.loads(ran.stdout)
    assert said.startswith(f"{tmp_path} cannot be watched")
