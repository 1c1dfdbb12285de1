"""Worker processes: each may die or hang, and it costs one file."""

import os
import pickle
import signal
import struct
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from retrieval.decoding import worker
from retrieval.decoding.content import digest_of
from retrieval.decoding.limits import MAX_PIXELS, memory_for
from retrieval.decoding.pool import InProcess, Pool, WorkerPool
from retrieval.decoding.ring import messages
from retrieval.decoding.ring.pool import RingPool, ring_of
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode
from retrieval.records import Failure
from tests.retrieval.small import DATA, SIDE, paint

BAD = DATA / "bad_pictures"


def ring_pool(count: int, seconds: float = 60.0) -> RingPool:
    """A pool with few slots, so that some pixels come through pipes."""
    return RingPool(count, lambda: ring_of(3, SIDE), seconds=seconds)


KINDS: dict[str, Callable[[int, float], Pool]] = {"threads": WorkerPool, "ring": ring_pool}


@contextmanager
def pool_of(count: int, seconds: float = 60.0, kind: str = "ring") -> Iterator[Pool]:
    with closing(KINDS[kind](count, seconds) if count else InProcess()) as pool:
        yield pool


def submit(pool: Pool, *paths: Path, side: int | None = SIDE) -> None:
    for key, path in enumerate(paths):
        pool.submit(Task(key, os.fsencode(path), side, MAX_PIXELS))


def collect_one(pool: Pool) -> TaskResult:
    while (result := pool.collect()) is None:
        pass
    return result


def collect(pool: Pool) -> list[TaskResult]:
    results = []
    while pool.pending:
        if result := pool.collect():
            results.append(result)
    return sorted(results, key=lambda result: result.key)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """Seconds of decoding, in Pillow's pure Python: a PPM in decimal digits."""
    path = tmp_path / "slow.ppm"
    side = 4_000
    path.write_bytes(b"P3 %d %d 255\n" % (side, side) + b"7 " * (3 * side * side))
    return path


def children() -> set[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def ticks(pid: int) -> int:
    """The processor time of a process, in hundredths of a second."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@pytest.mark.parametrize(("count", "kind"), [(0, "none"), (2, "threads"), (2, "ring")])
def test_a_file_is_hashed_and_decoded(tmp_path: Path, count: int, kind: str) -> None:
    good = [paint(tmp_path / f"\udcff{seed}\n.png", seed) for seed in range(6)]
    (tmp_path / "empty.jpg").touch()
    with pool_of(count, kind=kind) as pool:
        submit(pool, *good, tmp_path / "empty.jpg", tmp_path / "gone.jpg")
        *decoded, empty, gone = collect(pool)
        submit(pool, good[0], side=None)
        [hashed] = collect(pool)
    assert [result.digest for result in decoded] == [digest_of(p.read_bytes()) for p in good]
    for result in decoded:
        assert result.decoded is not None and result.decoded.pixels.shape == (SIDE, SIDE, 3)
    assert empty.failure == Failure(FailureCode.EMPTY, "the file is empty")
    assert gone.gone and gone.failure is None
    assert hashed.digest == decoded[0].digest and hashed.decoded is None


def test_what_cannot_be_read_may_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    with pool_of(0) as pool:
        submit(pool, tmp_path / "loop.jpg", tmp_path / "sparse.jpg", tmp_path / "folder.jpg")
        loop, sparse, folder = collect(pool)
    assert loop.failure and not loop.failure.code.is_lasting
    assert sparse.failure and sparse.failure.code.is_lasting and folder.failure


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, slow: Path, kind: str) -> None:
    good = [paint(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    with pool_of(1, seconds=0.5, kind=kind) as pool:
        submit(pool, good[0], slow, *good[1:])
        results = collect(pool)
    assert results[1].failure == Failure(FailureCode.TIMED_OUT, "decoding it took more than 0.5 s")
    assert all(result.decoded for result in (results[0], *results[2:]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_worker_that_dies_costs_the_file_it_held(tmp_path: Path, slow: Path, kind: str) -> None:
    good = [paint(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    before = children()
    with pool_of(1, kind=kind) as pool:
        submit(pool, good[0], slow, *good[1:])
        first = collect_one(pool)
        [worker] = children() - before
        until = ticks(worker) + 10
        while ticks(worker) < until:  # it is at the slow one
            time.sleep(0.01)
        os.kill(worker, signal.SIGKILL)
        second, *rest = collect(pool)
        assert children() - before != {worker}
    assert first.decoded
    assert second.failure == Failure(
        FailureCode.CRASHED, "decoding it crashed the worker process (SIGKILL)"
    )
    assert all(result.decoded for result in rest) and len(rest) == 3
    assert children() == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_worker_that_is_killed_at_rest_costs_nothing(tmp_path: Path, kind: str) -> None:
    paths = [paint(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    before = children()
    with pool_of(1, kind=kind) as pool:
        submit(pool, paths[0])
        collect(pool)
        [worker] = children() - before
        os.kill(worker, signal.SIGKILL)
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        submit(pool, *paths)
        assert all(result.decoded for result in collect(pool))
    assert children() == before


@pytest.mark.skipif(os.name != "posix", reason="pipes that can be polled")
def test_a_worker_at_a_long_picture_ends_with_who_started_it() -> None:
    processes = worker.Processes(60.0)
    process = processes.start()
    assert process.stdin and process.stdout
    try:
        process.stdin.write(worker.handshake(60.0, None, 0, waits))
        process.stdin.flush()
        assert messages.read(process.stdout) is None  # it has started
        process.stdin.write(pickle.dumps([(Task(0, b"", None, MAX_PIXELS), ())]))
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.stdout.close()


def waits(task: Task) -> TaskResult:
    """Wait as long as for a video."""
    threading.Event().wait(600)
    return TaskResult(task.key)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_worker_that_is_killed_at_its_start_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    died = f"open({str(tmp_path / 'died')!r}, 'x')"
    program = f"import os\ntry:\n    {died}\n    os.kill(os.getpid(), 9)\nexcept OSError:\n    pass"
    monkeypatch.setattr(worker, "BOOTSTRAP", f"{program}\n{worker.BOOTSTRAP}")
    with pool_of(1) as pool:
        submit(pool, paint(tmp_path / "1.png", 1))
        assert all(result.decoded for result in collect(pool))
    assert (tmp_path / "died").exists()


def test_workers_that_always_end_at_their_start_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BOOTSTRAP", "raise SystemExit(3)")
    with pool_of(1) as pool:
        submit(pool, paint(tmp_path / "1.png", 1))
        with pytest.raises(worker.WorkersFailed, match="exit code 3"):
            collect(pool)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_threads_that_ask_for_one_task_each_share_a_few_workers(tmp_path: Path, slow: Path) -> None:
    paths = [paint(tmp_path / f"{seed}.png", seed) for seed in range(8)]
    before = children()
    with closing(WorkerPool(2, seconds=0.5)) as pool, ThreadPoolExecutor(9) as threads:

        def do(path: Path) -> TaskResult:
            return pool.do(Task(7, os.fsencode(path), SIDE, MAX_PIXELS)).result()

        late, *results = threads.map(do, [slow, *paths])
        assert len(children() - before) <= 2
        assert pool.pending == 0  # of the stream, which nobody uses here
    assert late.failure and late.failure.code is FailureCode.TIMED_OUT
    assert [result.digest for result in results] == [digest_of(p.read_bytes()) for p in paths]
    assert children() == before


def test_one_that_asks_is_told_that_no_worker_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BOOTSTRAP", "raise SystemExit(3)")
    task = Task(0, os.fsencode(paint(tmp_path / "1.png", 1)), SIDE, MAX_PIXELS)
    with closing(WorkerPool(1)) as pool:
        with pytest.raises(worker.WorkersFailed, match="exit code 3"):
            pool.do(task).result()
        monkeypatch.undo()
        assert pool.do(task).result().decoded  # and the next one tries again


def test_a_pool_is_closed_in_the_middle_of_its_work(slow: Path) -> None:
    before = children()
    with pool_of(2) as pool:
        submit(pool, slow, slow, slow, slow)
    assert children() == before


def test_no_more_workers_are_started_than_there_are_tasks(tmp_path: Path) -> None:
    before = children()
    with pool_of(8) as pool:
        assert children() == before
        submit(pool, paint(tmp_path / "1.png", 1))
        collect(pool)
        assert len(children() - before) == 1


@pytest.mark.skipif(not BAD.exists(), reason="no reference data")
def test_bad_pictures_are_decoded_or_fail_and_no_worker_is_lost_for_good(tmp_path: Path) -> None:
    files = sorted(BAD.iterdir())
    good = paint(tmp_path / "good.png", 1)
    with pool_of(2) as pool:
        submit(pool, *files, good)
        *results, last = collect(pool)
    assert last.decoded and len(results) == len(files)
    for result, file in zip(results, files, strict=True):
        assert (result.decoded is None) != (result.failure is None), file
        if result.failure:
            assert "\n" not in result.failure.reason and len(result.failure.reason) < 250
            assert result.failure.code is not FailureCode.TIMED_OUT, file


# -- bounds --------------------------------------------------------------------------------------


def bombs(folder: Path) -> list[Path]:
    """Files of a few hundred kilobytes that ask for gigabytes."""
    side = 12_000
    grey = zlib.compress(bytes(side + 1) * side, 9)  # a filter byte and a row of black, each
    return [
        png(folder / "honest.png", side, side, grey),
        png(folder / "short.png", side, side, grey[: len(grey) // 2]),
        png(folder / "wide.png", 65_535, 65_535, grey),
        png(folder / "text.png", 9, 9, zlib.compress(bytes(90)), zlib.compress(bytes(10**8), 9)),
    ]


def png(path: Path, width: int, height: int, data: bytes, text: bytes = b"") -> Path:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    notes = b"Comment\0\0" + text if text else b""
    parts = [(b"IHDR", header), (b"zTXt", notes), (b"IDAT", data), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))
        for kind, held in parts
        if held or kind == b"IEND"
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_a_worker_takes_no_more_memory_than_it_may(tmp_path: Path) -> None:
    files = bombs(tmp_path)
    good = paint(tmp_path / "good.png", 1)
    before = children()
    with pool_of(1) as pool:
        submit(pool, *files, good)
        honest, short, wide, text, last = collect(pool)
        [worker] = children() - before
        status = Path(f"/proc/{worker}/status").read_text()
    assert honest.decoded and honest.decoded.width == 12_000
    assert short.failure and "ends too early" in short.failure.reason
    assert wide.failure == Failure(
        FailureCode.TOO_LARGE,
        "it has 4,294,836,225 pixels, more than 200,000,000",
        200_000_000,
    )
    assert text.failure and last.decoded
    peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
    assert peak < memory_for(MAX_PIXELS)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_what_takes_more_memory_than_a_worker_may_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [large, *_] = bombs(tmp_path)  # 144 MB, decoded
    less = (
        "import retrieval.decoding.worker_process as ours\n"
        "ours.memory_for = lambda _: 100_000_000\nserve(*"
    )
    monkeypatch.setattr(worker, "BOOTSTRAP", worker.BOOTSTRAP.replace("serve(*", less))
    with pool_of(1) as pool:
        submit(pool, large, paint(tmp_path / "good.png", 1))
        first, last = collect(pool)
    assert first.failure and first.failure.code is FailureCode.OUT_OF_MEMORY
    assert last.decoded
