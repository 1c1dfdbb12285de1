"""Worker processes: each may die or hang, and it costs one file."""

import os
import signal
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from retrieval.decoding import worker
from retrieval.decoding.content import digest_of
from retrieval.decoding.limits import MAX_PIXELS, memory_for
from retrieval.decoding.pool import InProcess, Pool, WorkerPool
from retrieval.decoding.task import Answer, Task
from tests.retrieval.small import DATA, SIDE, paint

BAD = DATA / "bad_pictures"


@contextmanager
def pool_of(count: int, seconds: float = 60.0) -> Iterator[Pool]:
    with closing(WorkerPool(count, seconds) if count else InProcess()) as pool:
        yield pool


def submit(pool: Pool, *paths: Path, side: int | None = SIDE) -> None:
    for key, path in enumerate(paths):
        pool.submit(Task(key, os.fsencode(path), side, MAX_PIXELS))


def collect(pool: Pool) -> list[Answer]:
    answers = []
    while pool.pending:
        if answer := pool.collect():
            answers.append(answer)
    return sorted(answers, key=lambda answer: answer.key)


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


@pytest.mark.parametrize("count", [0, 2])
def test_a_file_is_hashed_and_decoded(tmp_path: Path, count: int) -> None:
    good = [paint(tmp_path / f"\udcff{seed}\n.png", seed) for seed in range(6)]
    (tmp_path / "empty.jpg").touch()
    with pool_of(count) as pool:
        submit(pool, *good, tmp_path / "empty.jpg", tmp_path / "gone.jpg")
        *decoded, empty, gone = collect(pool)
        submit(pool, good[0], side=None)
        [hashed] = collect(pool)
    assert [answer.digest for answer in decoded] == [digest_of(p.read_bytes()) for p in good]
    for answer in decoded:
        assert answer.decoded is not None and answer.decoded.pixels.shape == (SIDE, SIDE, 3)
    assert empty.failure == "the file is empty" and empty.lasting
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
    assert loop.failure and not loop.lasting
    assert sparse.failure and sparse.lasting and folder.failure


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path, slow: Path) -> None:
    good = [paint(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    with pool_of(1, seconds=0.5) as pool:
        submit(pool, good[0], slow, *good[1:])
        answers = collect(pool)
    assert answers[1].failure == "decoding it took more than 0.5 s"
    assert all(answer.decoded for answer in (answers[0], *answers[2:]))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_worker_that_dies_costs_the_file_it_held(tmp_path: Path, slow: Path) -> None:
    good = [paint(tmp_path / f"{seed}.png", seed) for seed in range(4)]
    before = children()
    with pool_of(1) as pool:
        submit(pool, good[0], slow, *good[1:])
        first = pool.collect()
        [worker] = children() - before
        os.kill(worker, signal.SIGKILL)
        second, *rest = collect(pool)
        assert children() - before != {worker}
    assert first and first.decoded
    assert second.failure == "decoding it ended the worker process (SIGKILL)"
    assert all(answer.decoded for answer in rest) and len(rest) == 3
    assert children() == before


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
        *answers, last = collect(pool)
    assert last.decoded and len(answers) == len(files)
    for answer, file in zip(answers, files, strict=True):
        assert (answer.decoded is None) != (answer.failure is None), file
        if answer.failure:
            assert "\n" not in answer.failure and len(answer.failure) < 250
            assert answer.failure != "s" and "took more" not in answer.failure, file


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
    assert short.failure and "truncated" in short.failure
    assert wide.failure == "it has 4,294,836,225 pixels, more than 200,000,000"
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
        "ours.memory_for = lambda _: 100_000_000\nserve(sec"
    )
    monkeypatch.setattr(worker, "BOOTSTRAP", worker.BOOTSTRAP.replace("serve(sec", less))
    with pool_of(1) as pool:
        submit(pool, large, paint(tmp_path / "good.png", 1))
        first, last = collect(pool)
    assert first.failure == "it takes more memory than there is"
    assert last.decoded
