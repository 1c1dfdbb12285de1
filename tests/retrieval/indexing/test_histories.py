"""Any history of a folder of pictures: the catalog holds what is there, whatever happened before.

The model is a dictionary of what is on the disk. A kill is what `kill -9` leaves: the library's
files as they are in the middle of a run.
"""

import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from retrieval.catalog.reading import Catalog
from retrieval.collection.check import check
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.task import Task, work
from retrieval.errors import LibraryBusy, LibraryEmpty
from retrieval.indexing.run import index
from retrieval.library import Library
from retrieval.locate import Place
from retrieval.vectors import file_store
from tests.retrieval import postgres
from tests.retrieval.small import SIDE, SmallEncoder, contents, paint, run_index, small_model
from tests.retrieval.vectors.test_nearest import Filled, unit

NAMES = st.sampled_from(["a", "b/c", "b/d", "e\nf", "\udcff", "B/C", "deep/er/g", "%_"])
SEEDS = st.integers(0, 5)  # few, so that contents come again
# In seconds, further than 64 bits of nanoseconds: a file system takes of it what it can.
TIMES = st.integers(-(1 << 40), 1 << 40) | st.sampled_from([0, -1, 9_223_372_036, 9_223_372_037])


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Histories(RuleBasedStateMachine):
    """`held` is what is on the disk; the catalog has to know it after each index run."""

    files = Bundle("files")

    @initialize()
    def start(self) -> None:
        self.base = Path(os.path.realpath(tempfile.mkdtemp(prefix="retrieve-history-")))
        self.photos, self.place = self.base / "photos", self.new_place()
        self.photos.mkdir()
        self.held: dict[Path, bytes] = {}
        self.times = 0
        self.libraries = 0
        self.catalog = Catalog.open(self.place, create=True)

    def new_place(self) -> Place:
        return self.base / "library"

    def teardown(self) -> None:
        if hasattr(self, "catalog"):
            self.catalog.close()
            shutil.rmtree(self.base)

    # -- what people do --------------------------------------------------------------------------

    @rule(target=files, name=NAMES, seed=SEEDS)
    def add(self, name: str, seed: int) -> Path:
        path = self.photos / f"{name}.png"
        scratch = paint(self.base / "scratch.png", seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(scratch, path)
        self._is_there(path)
        return path

    @rule(file=files)
    def break_it(self, file: Path) -> None:
        if file in self.held:
            file.write_bytes(b"no picture" + bytes([self.times % 256]))
            self._is_there(file)

    @rule(file=files, seconds=TIMES)
    def set_time(self, file: Path, seconds: int) -> None:
        if file in self.held:
            os.utime(file, ns=(seconds * 10**9 + self.times, seconds * 10**9 + self.times))

    @rule(file=files, seed=SEEDS)
    def rewrite_and_put_the_time_back(self, file: Path, seed: int) -> None:
        if file in self.held:
            before = file.stat()
            self.add(file.relative_to(self.photos).as_posix().removesuffix(".png"), seed)
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    @rule(file=files, other=files)
    def swap(self, file: Path, other: Path) -> None:
        if file in self.held and other in self.held and file != other:
            os.replace(file, self.base / "third")
            os.replace(other, file)
            os.replace(self.base / "third", other)
            self.held[file], self.held[other] = self.held[other], self.held[file]

    @rule(target=files, file=consumes(files), name=NAMES)
    def move(self, file: Path, name: str) -> Path:
        goal = self.photos / f"moved {name}.png"
        if file in self.held and file != goal:
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, goal)
            self.held[goal] = self.held.pop(file)
        return goal

    @rule(target=files, file=files, name=NAMES)
    def copy(self, file: Path, name: str) -> object:
        goal = self.photos / f"copy {name}.png"
        if file not in self.held or file == goal:
            return multiple()
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, goal)
        self._is_there(goal)
        return goal

    @rule(file=consumes(files))
    def delete(self, file: Path) -> None:
        if file in self.held and len(self.held) > 1:  # an empty root would be an unmounted disk
            file.unlink()
            del self.held[file]

    def _is_there(self, path: Path) -> None:
        """A new time each, as people do not write two files in one nanosecond."""
        self.times += 1
        os.utime(path, ns=(self.times, self.times))
        self.held[path] = path.read_bytes()

    # -- what the program does -------------------------------------------------------------------

    @rule()
    def index(self) -> None:
        run_index(self.catalog, [self.photos])
        assert contents(self.catalog) == {
            str(path): expected_of(self.base / "one.png", data) for path, data in self.held.items()
        }
        counts = self.catalog.counts()
        assert counts.images == counts.embedded == len(set(self._digests()))

    def _digests(self) -> list[str]:
        return [known[0] for known in contents(self.catalog).values() if isinstance(known, tuple)]

    @rule(steps=st.integers(0, 12))
    def kill(self, steps: int) -> None:
        """Copy the library's files in the middle of a run, and go on with the copy."""
        run = index(self.catalog, [self.photos], small_model(), SmallEncoder, workers=0)
        self.libraries += 1
        copy = self.base / f"library-{self.libraries}"
        for number, _ in enumerate(run):
            if number == steps:
                break
        assert isinstance(self.place, Path)
        shutil.copytree(self.place, copy)
        run.close()
        self._go_on_with(copy)

    @rule()
    def reopen(self) -> None:
        self._go_on_with(self.place)

    def _go_on_with(self, place: Place) -> None:
        self.catalog.close()
        self.place = place
        self.catalog = Catalog.open(place)

    @invariant()
    def it_is_whole(self) -> None:
        if hasattr(self, "catalog"):
            assert self.catalog.database.damage() == []
            if isinstance(self.place, Path):  # a server allows none
                assert self.catalog.rows("PRAGMA foreign_key_check") == []
            wrong = [p for p in check(self.place, repair=False) if "missing" not in p.what]
            assert wrong == []


def expected_of(scratch: Path, data: bytes) -> object:
    """What a catalog says of a file with these bytes."""
    scratch.write_bytes(data)
    answer = work(Task(0, bytes(scratch), SIDE, MAX_PIXELS))
    if answer.decoded is None or answer.digest is None:
        return answer.failure and answer.failure.reason
    vector = SmallEncoder().encode(answer.decoded.pixels[np.newaxis])[0]
    return answer.digest.hex(), vector.astype("<f2").tobytes()


class HistoriesOnAServer(Histories):
    """The same with a library in PostgreSQL, where a kill ends a process in the middle of a run."""

    def new_place(self) -> Place:
        return postgres.new_place()

    @rule(steps=st.integers(0, 12))
    def kill(self, steps: int) -> None:
        sys.stdout.flush()
        if not (process := os.fork()):
            try:
                run = index(self.catalog, [self.photos], small_model(), SmallEncoder, workers=0)
                for number, _ in enumerate(run):
                    if number == steps:
                        break
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        _, status = os.waitpid(process, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        self.reopen_when_the_server_knows()

    def reopen_when_the_server_knows(self) -> None:
        """A server notices a moment later that a client is gone."""
        for _ in range(1_000):
            with suppress(LibraryBusy), self.catalog.database.exclusive():
                break
            time.sleep(0.02)
        self._go_on_with(self.place)


TestHistories = Histories.TestCase
TestHistoriesOnAServer = HistoriesOnAServer.TestCase
TestHistoriesOnAServer.settings = settings(max_examples=6, stateful_step_count=15, deadline=None)
TestHistories.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


# -- every search equals brute force -------------------------------------------------------------

FOLDERS = ["", "a/", "a/b/", "ab/", "%/", "a b/"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(FOLDERS), st.integers(1, 30)),
        st.tuples(st.just("rebuild"), st.just(""), st.just(0)),
        st.tuples(st.just("forget"), st.sampled_from(FOLDERS[1:]), st.just(0)),
    ),
    min_size=1,
    max_size=6,
)


searches = given(
    steps=STEPS,
    folder=st.sampled_from([None, *FOLDERS]),
    limit=st.sampled_from([1, 3, 10, 10**9]),
    least=st.one_of(st.none(), st.floats(-1, 1)),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=60, deadline=None)
@searches
def test_every_search_equals_brute_force(**case: Any) -> None:
    equals_brute_force("sqlite", **case)


@settings(max_examples=12, deadline=None)
@searches
def test_every_search_on_a_server_equals_brute_force(**case: Any) -> None:
    equals_brute_force("postgresql", **case)


def equals_brute_force(
    engine: str,
    steps: list[tuple[str, str, int]],
    folder: str | None,
    limit: int,
    least: float | None,
    seed: int,
) -> None:
    with (
        tempfile.TemporaryDirectory() as base,
        pytest.MonkeyPatch.context() as patch,
        closing(Fixture(engine, Path(os.path.realpath(base)), seed)) as filled,
    ):
        patch.setattr(file_store, "SMALL_FILE_BYTES", 0)
        for what, inside, count in steps:
            filled.do(what, inside, count)
        filled.check(folder, limit, least)


class Fixture:
    """A library of random vectors in folders, and what is in it."""

    def __init__(self, engine: str, base: Path, seed: int) -> None:
        for folder in FOLDERS:
            (base / "pictures" / folder).mkdir(parents=True, exist_ok=True)
        self.filled = Filled(
            base / "library" if engine == "sqlite" else postgres.new_place(),
            base / "pictures",
            seed,
        )
        self.where: dict[int, str] = {}  # id -> folder
        self.generator = np.random.default_rng(seed)

    def close(self) -> None:
        self.filled.catalog.close()

    def do(self, what: str, inside: str, count: int) -> None:
        from retrieval.vectors import index_file

        if what == "add":
            before = set(self.filled.by_id)
            self.filled.add(count, inside)
            self.where.update(dict.fromkeys(self.filled.by_id.keys() - before, inside))
        elif what == "rebuild":
            index_file.rebuild(self.filled.catalog, self.filled.model)
        elif any(self._is_in(id, inside) for id in self.where):
            self.filled.forget(inside.rstrip("/"))
            self.where = {id: at for id, at in self.where.items() if not at.startswith(inside)}

    def _is_in(self, id: int, folder: str) -> bool:
        return self.where[id].startswith(folder)

    def check(self, folder: str | None, limit: int, least: float | None) -> None:
        query = unit(self.generator.standard_normal(16))
        chosen = [id for id in self.where if folder is None or self._is_in(id, folder)]
        scores = {id: float(query @ self.filled.by_id[id]) for id in chosen}
        if least is not None:
            scores = {id: score for id, score in scores.items() if score >= least}
        expected = sorted(scores, key=lambda id: (-scores[id], id))[:limit]
        inside = None if folder is None else self.filled.root.path / folder
        with Library.open(self.filled.catalog.place) as library:

            def found() -> list[int]:
                matches = library.search(query, limit, folder=inside, min_score=least)
                return [match.image.id for match in matches]

            if not self.where:
                with pytest.raises(LibraryEmpty):
                    found()
                return
            for _ in range(2):  # the second search has opened the index file
                assert found() == expected
