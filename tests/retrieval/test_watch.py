"""`retrieve watch`: a process, a folder, and what becomes of it."""

import importlib
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.catalog import roots
from retrieval.catalog.lock import write_lock
from retrieval.catalog.reading import Catalog
from retrieval.exclusions import of
from retrieval.indexing.targets import Target
from retrieval.records import Root
from retrieval.watch import MAX_FILES, what_matters
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[2]
WATCH = sys.executable, "-m", "retrieval.cli.main", "watch"


class Watching:
    """The process, and the library that it looks after."""

    def __init__(self, photos: Path, library: Path) -> None:
        self.photos, self.library = photos, library
        self.process = subprocess.Popen(
            [*WATCH, photos, "--library", library, "--no-videos"],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines = queue.SimpleQueue[str]()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def says(self, expected: str) -> None:
        """The next line ends so, after the time."""
        said = self._lines.get(timeout=60)
        assert said.endswith(expected), said

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=60) == 0
        self.close()
        assert self._lines.empty()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self._lines.put(line.rstrip())

    def names(self) -> set[str]:
        with closing(Catalog.open(self.library)) as catalog:
            return {os.fsdecode(path) for root in catalog.roots() for path, *_ in
                    catalog.files.within(root.id)}  # fmt: skip


@pytest.fixture
def watching(home: Path) -> Iterator[Watching]:
    photos = home / "photos"
    for number, name in enumerate(("one", "two", "three")):
        paint(photos / f"{name}.png", "red", number)
    watching = Watching(photos, home / "library")
    watching.says("  3 new")
    yield watching
    watching.close()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_changes_comes_into_the_library(watching: Watching, home: Path) -> None:
    photos = watching.photos
    paint(photos / "four.png", "blue", 4)
    (photos / "notes.txt").write_text("no picture")
    paint(photos / ".hidden/five.png", "blue", 5)
    if find_spec("av"):  # which --no-videos leaves out
        importlib.import_module("tests.retrieval.decoding.films").film(photos / "walk.mp4", [1])
    watching.says("  1 new")
    (photos / "four.png").rename(photos / "4.png")
    watching.says("  1 moved")
    (photos / "one.png").unlink()
    watching.says("  1 removed")
    paint(home / "elsewhere/deep/six.png", "blue", 6)
    (home / "elsewhere").rename(photos / "new")
    watching.says("  1 new")
    shutil.rmtree(photos / "new")
    watching.says("  1 removed")
    assert watching.names() == {"two.png", "three.png", "4.png"}
    watching.end()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_who_writes_is_waited_for_and_what_is_gone_is_kept(watching: Watching) -> None:
    photos, away = watching.photos, watching.photos.with_name("away")
    with write_lock(watching.library):
        paint(photos / "four.png", "blue", 4)
        watching.says("wait until it is done")
    watching.says("  1 new")
    photos.rename(away)
    watching.says("is gone; its pictures stay in the library until `retrieve forget`")
    paint(away / "five.png", "blue", 5)
    away.rename(photos)
    watching.says("  1 new")
    assert len(watching.names()) == 5
    watching.end()


def test_nothing_to_watch(home: Path) -> None:
    watching = Watching(home / "nowhere", home / "library")
    watching.says(f"no such file or folder: {home}/nowhere")
    assert watching.process.wait(timeout=60) == 1
    watching.close()


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
    roots.exclude(catalog, {root.id: of(["*.jpg"])})
    due = what_matters(catalog, targets, [*changed, indexed / "small"])
    pictures = list(indexed.glob("large/*.png"))
    assert set(due) == {*pictures, indexed / "large/red.png", indexed}
    inside = what_matters(catalog, [Target(root, b"large")], changed)
    assert set(inside) == {*pictures, indexed / "large/red.png"}


def test_of_files_that_were_named_only_those_matter(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    named = [Target(Root(root.id, root.path, entire=False), b"")]
    paint(indexed / "new.png", "red", 99)
    changed = [indexed / "new.png", indexed / "large/red.png"]
    assert what_matters(catalog, named, changed) == [indexed / "large/red.png"]


def test_of_many_changes_the_folders_are_looked_through(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    new = [indexed / f"large/{number}.png" for number in range(MAX_FILES + 1)]
    for path in new:
        path.touch()
    assert what_matters(catalog, [Target(root, b"")], new) == [indexed / "large"]


def test_nothing_matters_while_a_root_is_away(catalog: Catalog, indexed: Path) -> None:
    [root] = catalog.roots()
    known = [indexed / "large/red.png", indexed]
    indexed.rename(indexed.with_name("away"))
    assert what_matters(catalog, [Target(root, b"")], known) == []


# -- removed files that are named ----------------------------------------------------------------


def test_a_named_file_that_is_gone_is_removed(indexed: Path) -> None:
    with Library.open(indexed) as library:
        (indexed / "large/blue.png").unlink()
        assert library.index(indexed / "large/blue.png", workers=0).removed == 1
        shutil.move(indexed, indexed.with_name("away"))
    with Library.open(indexed.with_name("away")) as library:
        assert library.status().counts.files == 13


@pytest.mark.skipif(sys.platform != "linux", reason="ulimit, inotify")
def test_more_folders_than_files_may_be_open(home: Path) -> None:
    """A few watchers are enough for all of them; what comes into the last one is noticed."""
    folders = [home / "photos" / f"{number:03d}" for number in range(80)]
    for number, folder in enumerate(folders):
        paint(folder / "one.png", "red", number)
    command = [sys.executable, "-m", "retrieval.cli.main", "watch", *map(str, folders)]
    with subprocess.Popen(
        ["sh", "-c", f"ulimit -n 100; exec {shlex.join(command)} --library {home / 'library'}"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline().endswith("  80 new\n")
        paint(folders[-1] / "two.png", "blue", 100)
        assert process.stdout.readline().endswith("  1 new\n")
        shutil.rmtree(folders[40])
        assert f"{folders[40]} is gone" in process.stdout.readline()
        paint(folders[40] / "three.png", "blue", 101)
        said = process.stdout.readline()
        assert said.endswith("  1 new, 1 removed\n"), said
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
