"""What stands in the way is said once, until it changes: in `watch`, and in runs of the page."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.notices import Notices
from retrieval.watch import Patient
from retrieval.web.index_jobs import IndexJobs
from tests.retrieval.conftest import paint

PHOTOS = Path("/photos")
ROOT = Path(__file__).parents[2]


def test_a_problem_is_said_once_until_it_changes() -> None:
    notices = Notices()
    assert notices.fresh(["a: 3 files", "b"], [PHOTOS]) == ("a: 3 files", "b")
    assert notices.fresh(["a: 3 files", "b"], [PHOTOS]) == ()
    assert notices.fresh(["b", "a: 4 files"], [PHOTOS]) == ("a: 4 files",)
    assert notices.fresh(["a: 3 files"], [PHOTOS]) == ("a: 3 files",)


def test_a_problem_that_came_back_is_said_again() -> None:
    notices = Notices()
    assert notices.fresh(["a"], [PHOTOS / "in"]) == ("a",)
    assert notices.fresh([], [PHOTOS / "other"]) == ()  # which says nothing of it
    assert notices.fresh(["a"], [PHOTOS]) == ()
    for everywhere in ([PHOTOS], []):
        assert notices.fresh([], everywhere) == ()
        assert notices.fresh(["a"], [PHOTOS / "in"]) == ("a",)
    assert notices.fresh(["all"], []) == ("all",)
    assert notices.fresh([], [PHOTOS]) == ()  # others were looked at then as well
    assert notices.fresh(["all"], []) == ()


@pytest.fixture
def missing(indexed: Path) -> Path:
    """A folder that the library knows, and that is not there."""
    paint(indexed.parent / "away/one.png", "red", 1)
    with Library.open(indexed / ".retrieve") as library:
        library.index(indexed.parent / "away", workers=0)
    (indexed.parent / "away").rename(indexed.parent / "elsewhere")
    return indexed.parent / "away"


def test_watch_says_it_once(indexed: Path, missing: Path) -> None:
    with Library.open(indexed / ".retrieve") as library:
        runs = Patient(library, lambda: nullcontext(None), pytest.fail)
        first, second = runs.index([]), runs.index([])
        assert any(str(missing) in problem for problem in first.problems)
        assert second.problems == ()
        (missing.parent / "elsewhere").rename(missing)
        assert runs.index([]).problems == ()
        missing.rename(missing.parent / "elsewhere")
        assert runs.index([]).problems == first.problems


def test_the_page_s_runs_say_it_once(indexed: Path, missing: Path) -> None:
    with Library.open(indexed / ".retrieve") as library:
        runs, said = IndexJobs(library), list[str]()
        for _ in range(2):
            runs.start([])
            runs.close()
            said.append(runs.last or "")
    assert f"note: {missing}" in said[0] and "from earlier runs" not in said[0]
    assert str(missing) not in said[1] and said[1].endswith(
        "1 note from earlier runs; run `retrieve index` to see all\n"
    )


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
