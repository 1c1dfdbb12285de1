"""`retrieve watch`: a process, a folder, and what becomes of it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.catalog import Catalog
from retrieval.lock import write_lock
from retrieval.records import Root
from retrieval.targets import Target
from retrieval.watch import MANY, what_matters
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[2]


class Watching:
    """The process, and the library that it looks after."""

    def __init__(self, photos: Path, library: Path) -> None:
        self.photos, self.library = photos, library
        self.process = subprocess.Popen(
            [sys.executable, "-m", "retrieval.cli", "watch", photos, "--library", library],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """The next that it prints, without the time."""
        assert self.process.stdout
        return self.process.stdout.readline().partition("  ")[2].strip()

    def end(self) -> str:
        self.process.send_signal(signal.SIGINT)
        _, errors = self.process.communicate(timeout=30)
        assert self.process.returncode == 0, errors
        return errors

    def names(self) -> set[str]:
        with closing(Catalog.open(self.library)) as catalog:
            return {os.fsdecode(path) for root in catalog.roots() for path, *_ in
                    catalog.files(root.id)}  # fmt: skip

    def eventually(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if holds():
                return
            time.sleep(0.05)
        raise AssertionError(f"it did not come to pass; there are {self.names()}")


@pytest.fixture
def watching(home: Path) -> Iterator[Watching]:
    photos = home / "photos"
    for number, name in enumerate(("one", "two", "three")):
        paint(photos / f"{name}.png", "red", number)
    watching = Watching(photos, home / "library")
    assert watching.line() == "3 new"
    yield watching
    if watching.process.returncode is None:
        watching.process.kill()
        watching.process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_changes_comes_into_the_library(watching: Watching, home: Path) -> None:
    photos = watching.photos
    paint(photos / "four.png", "blue", 4)
    (photos / "notes.txt").write_text("no picture")
    paint(photos / ".hidden/five.png", "blue", 5)
    assert watching.line() == "1 new"
    (photos / "four.png").rename(photos / "4.png")
    assert watching.line() == "1 moved"
    (photos / "one.png").unlink()
    assert watching.line() == "1 removed"
    paint(home / "elsewhere/deep/six.png", "blue", 6)
    (home / "elsewhere").rename(photos / "new")
    watching.eventually(lambda: "new/deep/six.png" in watching.names())
    shutil.rmtree(photos / "new")
    watching.eventually(lambda: watching.names() == {"two.png", "three.png", "4.png"})
    assert watching.end() == ""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_who_writes_is_waited_for_and_what_is_gone_is_kept(watching: Watching) -> None:
    photos = watching.photos
    assert watching.process.stderr
    with write_lock(watching.library):
        paint(photos / "four.png", "blue", 4)
        assert "is being written by process" in watching.process.stderr.readline()
    assert watching.line() == "1 new"
    photos.rename(photos.with_name("away"))
    assert "is gone" in watching.process.stderr.readline()
    paint(photos.with_name("away") / "five.png", "blue", 5)
    photos.with_name("away").rename(photos)
    watching.eventually(lambda: "five.png" in watching.names())
    assert len(watching.names()) == 5
    watching.end()


def test_nothing_to_watch(home: Path) -> None:
    watching = Watching(home / "nowhere", home / "library")
    _, errors = watching.process.communicate(timeout=30)
    assert watching.process.returncode == 1 and "no such file or folder" in errors


# -- which changes matter ------------------------------------------------------------------------


@pytest.fixture
def catalog(indexed: Path) -> Iterator[Catalog]:
    with Library.open(indexed) as library:
        yield library.catalog


def test_only_what_a_scan_would_look_at_matters(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    targets = [Target(root, b"")]
    for name in (".hidden/a.png", "@eaDir/a.png", ".retrieve/a.png", "notes.txt", "large/new.png"):
        (indexed / name).parent.mkdir(exist_ok=True)
        (indexed / name).touch()
    (indexed / "large/red.png").unlink()
    shutil.rmtree(indexed / "small")
    changed = [path for path in indexed.rglob("*") if path.is_file()]
    changed += [indexed / "large/red.png", indexed / "never.png", indexed.parent / "a.png"]
    due = what_matters(catalog, targets, [*changed, indexed / "small"], ["*.jpg"])
    pictures = [path for path in indexed.glob("large/*.png")]
    assert set(due) == {*pictures, indexed / "large/red.png", indexed}
    inside = what_matters(catalog, [Target(root, b"large")], changed, [])
    assert set(inside) == {*pictures, indexed / "large/red.png"}


def test_of_files_that_were_named_only_those_matter(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    named = [Target(Root(root.id, root.path, entire=False), b"")]
    paint(indexed / "new.png", "red", 99)
    changed = [indexed / "new.png", indexed / "large/red.png"]
    assert what_matters(catalog, named, changed, []) == [indexed / "large/red.png"]


def test_of_many_changes_the_folders_are_looked_through(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    new = [indexed / f"large/{number}.png" for number in range(MANY + 1)]
    for path in new:
        path.touch()
    assert what_matters(catalog, [Target(root, b"")], new, []) == [indexed / "large"]


def test_nothing_matters_while_a_root_is_away(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    known = [indexed / "large/red.png", indexed]
    indexed.rename(indexed.with_name("away"))
    assert what_matters(catalog, [Target(root, b"")], known, []) == []


# -- removed files that are named ----------------------------------------------------------------


def test_a_named_file_that_is_gone_is_removed(indexed: Path) -> None:
    with Library.open(indexed) as library:
        (indexed / "large/blue.png").unlink()
        assert library.index(indexed / "large/blue.png", workers=0).removed == 1
        shutil.move(indexed, indexed.with_name("away"))
    with Library.open(indexed.with_name("away")) as library:
        assert library.status().counts.files == 12
