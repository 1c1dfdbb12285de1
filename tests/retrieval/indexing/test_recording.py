"""What makes recording quick: a filter of digests, and transactions beside the run."""

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryNotFound, RetrieveError
from retrieval.indexing.recorder import Commit
from retrieval.indexing.recording import known_contents
from retrieval.indexing.recording.background_writer import MAX_QUEUED, BackgroundWriter, merged
from retrieval.indexing.recording.known_contents import KnownContents
from retrieval.indexing.recording.remote_writer import RemoteWriter
from retrieval.indexing.recording.writer_process import packed, unpacked
from retrieval.records import FileState, Moment, NewImage, Shot, Vectors
from tests.retrieval.small import paint_many, run_index


def digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def commit_of(number: int, model: int | None = 1) -> Commit:
    shot, moments = Shot("a camera"), (Moment(0, "page", 0), Moment(1, "page", 1))
    image = NewImage(digest(number), 3, 4, "JPEG", None, shot, moments=moments[: number % 3])
    file = FileState(1, b"%d.jpg" % number, 5, 6, digest(number), None, 7, 8)
    if model is None:
        return Commit([file], [], None)
    vectors = np.full((2, 4), number, np.float32) if number % 3 == 2 else np.ones(4, np.float32)
    hubness = np.zeros((2, 2) if number % 3 == 2 else 2, np.float32)
    of = {image.digest: vectors}
    return Commit([file], [image], Vectors(model, of, {image.digest: hubness}))


def test_what_is_in_the_catalog_is_known(
    catalog: Catalog, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_contents, "LEAST_ROOM", 8)  # so that the filter must grow
    paint_many(base / "photos", 30)
    run_index(catalog, [base / "photos"])
    held = [bytes(row[0]) for row in catalog.rows("SELECT digest FROM images")]
    known = KnownContents(catalog)
    for _ in range(2):  # first the catalog is asked, then the filter
        assert all(map(known.has, held)) and not any(known.has(digest(n)) for n in range(99))
    known.add(digest(n) for n in range(1_000))  # which the catalog has not: it has the last word
    assert all(map(known.has, held)) and not any(known.has(digest(n)) for n in range(99))


def test_commits_are_written_together_if_their_vectors_are_of_one_model() -> None:
    commits = [commit_of(0), commit_of(1, None), commit_of(2), commit_of(3, 2), commit_of(4, 2)]
    first, second = merged(commits)
    assert [file.path for file in first.files] == [b"0.jpg", b"1.jpg", b"2.jpg"]
    assert first.vectors and list(first.vectors.of) == [digest(0), digest(2)]
    assert [image.digest for image in second.images] == [digest(3), digest(4)]


def test_a_commit_arrives_as_it_was_sent() -> None:
    for sent in (merged([commit_of(number) for number in range(6)])[0], commit_of(1, None)):
        arrived = unpacked(packed(sent))
        assert arrived[:2] == sent[:2]
        if sent.vectors:
            assert arrived.vectors and arrived.vectors.model_id == 1
            for there, here in (
                (arrived.vectors.of, sent.vectors.of),
                (arrived.vectors.hubness, sent.vectors.hubness),
            ):
                assert list(there) == list(here)
                for key, rows in here.items():
                    assert (np.atleast_2d(rows) == there[key]).all()


class Slow:
    """A writer that waits to be let go."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.go = threading.Event()

    def write(self, commit: Commit) -> None:
        self.go.wait(30)
        self.sizes.append(len(commit.files))

    def close(self) -> None:
        pass


def test_what_comes_during_a_transaction_is_in_the_next_one() -> None:
    slow = Slow()
    writer = BackgroundWriter(slow)
    for number in range(4):
        writer.write(commit_of(number))
    assert writer.written() == []
    slow.go.set()
    writer.wait()
    assert len(writer.written()) == 4
    writer.close()
    assert sum(slow.sizes) == 4 and len(slow.sizes) < 4


def test_an_error_of_the_process_that_writes_is_the_run_s(catalog: Catalog) -> None:
    shutil.rmtree(catalog.local_folder)
    writer = BackgroundWriter(RemoteWriter(catalog))
    writer.write(commit_of(0))
    for _ in range(2):  # and it stays one
        with pytest.raises(RetrieveError) as caught:
            writer.wait()
    writer.close()
    assert isinstance(caught.value, LibraryNotFound)


class Interrupting:
    """Has Ctrl-C pressed while the run waits for it."""

    def __init__(self, is_waiting: Callable[[], bool]) -> None:
        self.images = 0
        self.is_closed = False
        self._is_waiting = is_waiting

    def write(self, commit: Commit) -> None:
        if not self.images:
            while not self._is_waiting():
                time.sleep(0.001)
            time.sleep(0.05)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.05)
        self.images += len(commit.images)

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.skipif(os.name != "posix", reason="signals to a thread")
def test_ctrl_c_loses_no_commit_that_waits_for_others() -> None:
    slow = Interrupting(lambda: len(writer._queued) == MAX_QUEUED)
    writer = BackgroundWriter(slow)
    given = 0
    with pytest.raises(KeyboardInterrupt):
        while True:
            given += 1
            writer.write(commit_of(given))
    writer.wait()
    assert len(writer.written()) == given
    assert slow.images == given * len(commit_of(1).images)
    writer.close()
    assert slow.is_closed
