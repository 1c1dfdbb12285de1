"""A program that was started without standard streams, or with few files to open."""

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.locate import FILE_NAME
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[3]
SPENT = "too many open files; raise `ulimit -n`\n"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")


def shell(how: str, *arguments: object, start: str = "") -> "subprocess.CompletedProcess[str]":
    """Run `retrieve` with these redirections."""
    words = [sys.executable, "-m", "retrieval.cli.main", *map(str, arguments)]
    return subprocess.run(
        ["sh", "-c", f"{start} exec {shlex.join(words)} {how}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


CLOSED = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"]


@pytest.mark.parametrize("how", CLOSED)
def test_streams_that_are_closed_harm_nothing(photos: Path, home: Path, how: str) -> None:
    library = home / "library"
    command = ["--library", library]
    is_mute = " >&-" in f" {how}"
    done = shell(how, *command, "index", photos, "--workers", 2)
    assert done.returncode == 0 and ("12 new" in done.stdout) != is_mute, done.stderr
    for more in (["status"], ["duplicates", "-0"], ["search", "red", "--sheet", home / "s.html"]):
        done = shell(how, *command, *more)
        assert done.returncode == is_mute and bool(done.stdout) != is_mute, done.stderr
    assert is_mute or (home / "s.html").stat().st_size > 1000
    with closing(sqlite3.connect(library / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    refused = shell(how, *command, "search", "--limit", "x", "red")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert ("error: " in refused.stderr) != ("2>&-" in how)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["completion", "bash"]], ids=str)
def test_what_needs_no_library_needs_no_streams(arguments: list[str]) -> None:
    for how in CLOSED:
        assert shell(how, *arguments).returncode == 0, how


WITHOUT = """
import sys
from retrieval import Library
sys.stdin = sys.stdout = sys.stderr = None
with Library.open(sys.argv[1]) as library:
    summary = library.index(sys.argv[2], workers=1)
    assert len(library.search("red", 3)) == 3
sys.exit(0 if summary.new == 12 else 3)
"""


def test_the_library_needs_no_streams(photos: Path, home: Path) -> None:
    words = [sys.executable, "-c", WITHOUT, str(home / "library"), str(photos)]
    command = ["sh", "-c", f"exec {shlex.join(words)} <&- >&- 2>&-"]
    assert subprocess.run(command, cwd=ROOT).returncode == 0


COMMANDS = [
    ["status"],
    ["search", "red", "--paths"],
    ["index", "new", "--workers", "2"],
    ["backup", "new/copy"],
    ["check"],
]


@pytest.mark.skipif(sys.platform != "linux", reason="how many files Python itself opens")
@pytest.mark.parametrize("arguments", COMMANDS, ids=str)
def test_too_few_files_are_named_and_nothing_is_called_damaged(
    indexed: Path, home: Path, arguments: list[str]
) -> None:
    """From the number with which nothing works up to the one with which all does."""
    paint(home / "new" / "new.png", "red", 99)
    before = (indexed / ".retrieve" / FILE_NAME).stat().st_ino
    refused = 0
    for number in range(5, 40):
        start = f"ulimit -n {number};"
        run = shell("", "--library", indexed, *arguments, start=start)
        if run.returncode == 0:
            break
        refused += 1
        assert run.returncode == 1 and run.stderr.endswith(SPENT), (number, run.stderr)
        assert not re.search("damaged|read-only|cannot read|unexpected", run.stderr), run.stderr
    assert run.returncode == 0 and refused > 0, run.stderr
    assert (indexed / ".retrieve" / FILE_NAME).stat().st_ino == before
