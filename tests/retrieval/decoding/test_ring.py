"""Pixels in shared memory: slots that come back, and what happens where there are none."""

import errno
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from retrieval.decoding.limits import FILM_PATIENCE, MAX_PIXELS
from retrieval.decoding.ring import memory, messages
from retrieval.decoding.ring.memory import CELLS, Pixels, Ring, slot_of, together
from retrieval.decoding.ring.pool import RingPool, ring_of
from retrieval.decoding.task import Task, TaskResult, work
from retrieval.errors import FailureCode
from retrieval.records import Decoded, Facts, Failure, Frame, Moment, Shot, Wording
from tests.retrieval.mortal import children, forget_children
from tests.retrieval.small import SIDE, paint
from tests.torture.disk import disk, resize

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes that can be polled")


def test_a_slot_is_free_again_once_nothing_refers_to_its_pixels() -> None:
    ring = Ring(4, SIDE)
    slots = ring.take(9)
    assert [slot.number for slot in slots] == [0, 1, 2, 3] and ring.take(1) == ()
    arrays = [slot.array() for slot in slots]
    for number, array in enumerate(arrays):
        array[:] = number
    del array
    del slots
    row = together(arrays[1:3])
    assert np.shares_memory(row, ring.pixels) and (row[1] == 2).all()
    assert not np.shares_memory(together([arrays[0], arrays[2]]), ring.pixels)
    assert not np.shares_memory(together([arrays[2], arrays[1]]), ring.pixels)
    view = arrays[1][2:4]
    del arrays
    assert ring.free == [0, 2, 3]  # a view keeps its slot
    assert (view == 1).all()
    del view
    assert [slot.number for slot in ring.take(2)] == [0, 1]


def test_the_memory_of_a_ring_has_no_name_and_goes_with_it() -> None:
    gc.collect()
    files = len(os.listdir("/dev/fd"))
    ring = Ring(100, SIDE)
    assert len(os.listdir("/dev/fd")) > files and os.fstat(ring.shared.descriptor).st_nlink == 0
    [slot] = ring.take(1)
    pixels = slot.array()
    del ring, slot
    pixels[:] = 7  # mapped as long as it is in use
    del pixels
    gc.collect()
    assert len(os.listdir("/dev/fd")) == files


def test_a_result_arrives_as_it_was_sent() -> None:
    chance = np.random.default_rng(0)
    first, second = (chance.integers(0, 256, (SIDE, SIDE, 3), np.uint8) for _ in range(2))
    facts = Facts(datetime(2020, 1, 2), "xmp", 1.5, 2.5, 3, (Wording("title", "a dog", "xmp"),))
    frames = tuple(Frame(Moment(n, "second", n / 2), p) for n, p in enumerate((first, second)))
    shot = Shot("a camera", "a lens", 1.0, 2.0, 0.1, 2.8, 100, 50.0)
    decoded = Decoded(first, 3, 4, "MP4", facts, shot, b"12345678", True, frames, 1.5)
    sent = [
        TaskResult(7, b"digest", decoded, fetched=(1, 2, "version")),
        TaskResult(8, b"digest", Decoded(second, 3, 4, "PNG")),
        TaskResult(9, failure=Failure(FailureCode.EMPTY, "the file is empty"), gone=True),
    ]
    for each in sent:
        values = messages.packed(each, lambda pixels: pixels)
        np.testing.assert_equal(messages.unpacked(values, lambda p: p), each)  # type: ignore[arg-type, return-value]


def collected(pool: RingPool, paths: list[Path]) -> list[TaskResult]:
    for key, path in enumerate(paths):
        pool.submit(Task(key, os.fsencode(path), SIDE, MAX_PIXELS))
    results = []
    while pool.pending:
        if result := pool.collect():
            results.append(result)
    return sorted(results, key=lambda result: result.key)


def test_pixels_come_in_slots_while_there_are_some(tmp_path: Path) -> None:
    paths = [paint(tmp_path / f"{seed}.png", seed) for seed in range(12)]
    with closing(RingPool(2, lambda: ring_of(5, SIDE))) as pool:
        results = collected(pool, paths)
        where = [slot_of(each.decoded.pixels) for each in results if each.decoded]
        assert sum(slot is not None for slot in where) == 5
        for result, path in zip(results, paths, strict=True):
            alone = work(Task(0, os.fsencode(path), SIDE, MAX_PIXELS)).decoded
            assert result.decoded and alone and (result.decoded.pixels == alone.pixels).all()
        del where, results, result
        again = collected(pool, paths[:5])
        assert all(slot_of(each.decoded.pixels) for each in again if each.decoded)


def test_slots_come_back_from_any_thread() -> None:
    ring = Ring(64, SIDE)

    def use(arrays: list[Pixels]) -> None:
        while arrays:
            arrays.pop()

    for _ in range(50):
        pixels = [slot.array() for slot in ring.take(64)]
        assert len(pixels) == 64
        threads = [Thread(target=use, args=(pixels[place::4],)) for place in range(4)]
        del pixels
        for thread in threads:
            thread.start()
        some = ring.take(9)  # in the meantime
        for thread in threads:
            thread.join()
        assert len({slot.number for slot in some} | {*ring.free}) == 64
        del threads, thread, some
        gc.collect()


def blocks(ring: Ring) -> int:
    """The bytes that a ring's file has, not only claims."""
    return 512 * os.fstat(ring.shared.descriptor).st_blocks


@pytest.mark.skipif(sys.platform != "linux", reason="memfd")
def test_memory_that_the_system_may_refuse_is_reserved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert blocks(Ring(1_000, SIDE)) < Ring(1_000, SIDE).shared.size
    (tmp_path / "overcommit").write_text("2\n")
    monkeypatch.setattr(memory, "OVERCOMMIT", tmp_path / "overcommit")
    assert blocks(Ring(1_000, SIDE)) >= Ring(1_000, SIDE).shared.size


@pytest.mark.parametrize("lacks", ["memfd_create", "posix_fallocate"])
def test_a_file_on_disk_has_all_of_its_space(monkeypatch: pytest.MonkeyPatch, lacks: str) -> None:
    """macOS has neither, other systems have the second."""
    for name in {"memfd_create", lacks}:
        monkeypatch.delattr(os, name, raising=False)
    ring = Ring(2_000, SIDE)
    assert blocks(ring) >= ring.shared.size == os.fstat(ring.shared.descriptor).st_size
    ring.pixels[:] = 7
    assert (ring.pixels == 7).all()


@pytest.mark.parametrize("lacks", ["memfd_create", "posix_fallocate"])
def test_a_small_disk_is_seen_before_it_is_full(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    lacks: str,
) -> None:
    for name in {"memfd_create", lacks}:
        monkeypatch.delattr(os, name, raising=False)
    with disk(tmp_path / "disk") as small:
        if small is None:
            pytest.skip("no disk may be mounted here")
        resize(small, 1_000_000)
        monkeypatch.setattr(tempfile, "tempdir", str(small))
        with closing(RingPool(1, lambda: ring_of(2_000, SIDE))) as pool:
            [result] = collected(pool, [paint(tmp_path / "1.png", 1)])
        assert result.decoded and slot_of(result.decoded.pixels) is None
        assert "through pipes" in caplog.text and "No space left" in caplog.text
        assert shutil.disk_usage(small).free > 900_000


@pytest.mark.parametrize("has_disk", [True, False])
def test_without_shared_memory_it_goes_on_and_says_so(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_disk: bool,
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    if not has_disk:
        monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with closing(RingPool(1, lambda: ring_of(5, SIDE))) as pool:
        [result] = collected(pool, [paint(tmp_path / "1.png", 1)])
    assert result.decoded and (slot_of(result.decoded.pixels) is not None) == has_disk
    assert ("through pipes" in caplog.text and "No space left" in caplog.text) != has_disk


def dies_at_three(task: Task) -> TaskResult:
    if task.key == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return work(task)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_only_the_file_that_a_worker_was_at_is_lost_with_it(tmp_path: Path) -> None:
    """The worker dies with results that it has not sent, and with tasks that it has not begun."""
    forget_children()
    paths = [paint(tmp_path / f"{seed}.png", seed) for seed in range(20)]
    with closing(RingPool(1, lambda: ring_of(40, SIDE), work=dies_at_three)) as pool:
        results = collected(pool, paths)
        assert [each.key for each in results if each.failure] == [3]
        assert results[3].failure and results[3].failure.code is FailureCode.CRASHED
        assert sum(each.decoded is not None for each in results) == 19
        del results
        gc.collect()
        ring = pool._ring
        assert ring and len(ring.free) == 40
    assert children("worker_process") == []


class Deadly(Task):
    """A task that ends who reads it."""

    def __reduce__(self) -> Any:
        return os._exit, (3,)


def test_a_task_that_ends_workers_before_they_begin_is_tried_twice(tmp_path: Path) -> None:
    path = os.fsencode(paint(tmp_path / "1.png", 1))
    with closing(RingPool(1, lambda: ring_of(5, SIDE))) as pool:
        pool.submit(Deadly(7, path, SIDE, MAX_PIXELS))
        while (result := pool.collect()) is None:
            pass
        assert result.key == 7 and result.failure
        assert result.failure.reason == "decoding it crashed the worker process (exit code 3)"
        assert pool._spared == {7}
        [result] = collected(pool, [tmp_path / "1.png"])
        assert result.decoded


def waits(task: Task) -> TaskResult:
    if task.key:
        signal.pause()
    return TaskResult(task.key)


def test_a_video_behind_a_picture_may_take_as_long_as_a_video() -> None:
    """The picture is done, but its result waits to be sent with that of the video."""
    with closing(RingPool(1, lambda: ring_of(4, SIDE), work=waits)) as pool:
        pool.submit(Task(0, b"a.png", None, MAX_PIXELS))
        pool.submit(Task(1, b"b.mp4", None, MAX_PIXELS))
        pool._give()
        [worker] = pool._workers
        ring, of_a_picture = pool._ring, worker._allowed
        assert ring and len(worker.given) == 2
        while ring.cells[0] < 3:  # at the second one
            time.sleep(0.001)
        assert worker._allowed == FILM_PATIENCE * of_a_picture


def test_there_are_no_more_workers_than_cells() -> None:
    with closing(RingPool(9 * CELLS, lambda: None, ahead=1)) as pool:
        assert pool.window == 1 + 2 * CELLS


def test_an_error_that_pickle_cannot_rebuild_is_sent_in_words() -> None:
    class Local(Exception):
        pass

    assert repr(messages.sendable(Local("no room"))) == "RuntimeError('Local: no room')"
    error = ValueError("no room")
    assert messages.sendable(error) is error
