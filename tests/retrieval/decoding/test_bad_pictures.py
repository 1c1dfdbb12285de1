"""A folder of all that is no good picture: each file is indexed or a recorded failure."""

import os
import shutil
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from retrieval.catalog.reading import Catalog
from retrieval.decoding import worker
from retrieval.decoding.pool import InProcess
from retrieval.decoding.ring.pool import RingPool
from retrieval.decoding.task import Task
from tests.retrieval.decoding.test_pool import bombs, png
from tests.retrieval.small import DATA, as_counts, paint, paint_many, run_index


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    paint_many(Path(os.path.realpath(tmp_path)) / "photos", 4)
    return Path(os.path.realpath(tmp_path)) / "photos"


@pytest.fixture
def catalog(photos: Path) -> Iterator[Catalog]:
    with closing(Catalog.open(photos.parent / "library", create=True)) as opened:
        yield opened


def headers(folder: Path) -> None:
    """Headers that claim 65,535 × 65,535 pixels, with nothing behind them."""
    paint(folder / "huge.bmp", 1)
    data = bytearray((folder / "huge.bmp").read_bytes())
    data[18:26] = struct.pack("<ii", 65_535, 65_535)
    (folder / "huge.bmp").write_bytes(data)
    paint(folder / "huge.gif", 1)
    data = bytearray((folder / "huge.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 65_535, 65_535)
    (folder / "huge.gif").write_bytes(data)
    paint(folder / "huge.jpg", 1)
    data = bytearray((folder / "huge.jpg").read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", 65_535, 65_535)
    (folder / "huge.jpg").write_bytes(data)
    (folder / "huge.ppm").write_bytes(b"P6 65535 65535 255\n" + bytes(100))


def colour_profiles(folder: Path) -> None:
    paint(folder / "icc.jpg", 11, icc_profile=b"\xff" * 300)
    paint(folder / "icc.png", 12, icc_profile=bytes(range(256)) * 8)
    paint(folder / "icc.webp", 13, icc_profile=b"no profile")
    paint(folder / "icc.tiff", 14, icc_profile=bytes(128))


def exif_lies(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 9  # no such orientation
    exif.get_ifd(0x8825).update({2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)})
    lies = exif.tobytes().replace(struct.pack("<II", 0, 1), struct.pack("<II", 0, 0))  # 0/0
    paint(folder / "gps.jpg", 21, exif=lies)
    far = bytearray(lies)
    far[10:14] = b"\xff\xff\xff\x7f"  # an offset past the end
    paint(folder / "far.jpg", 22, exif=bytes(far))
    paint(folder / "noise.jpg", 23, exif=b"Exif\0\0" + b"\x99" * 400)


def strips(folder: Path) -> None:
    Image.new("RGB", (1, 100_000), "red").save(folder / "tall.png")
    Image.new("L", (100_000, 1), 7).save(folder / "wide.png")


def animation(folder: Path) -> None:
    """10,000 frames of a GIF, each of a few bytes."""
    Image.new("P", (8, 8)).save(folder / "frame.gif")
    data = (folder / "frame.gif").read_bytes()
    frame = data[data.index(b"\x2c") : -1]
    (folder / "frame.gif").unlink()
    (folder / "many.gif").write_bytes(data[:-1] + frame * 10_000 + data[-1:])


def renamed(folder: Path) -> None:
    (folder / "page.jpg").write_text("<!DOCTYPE html><html><body>404</body></html>")
    (folder / "drawing.jpg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (folder / "paper.jpg").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    (folder / "script.png").write_text("#!/bin/sh\ntouch /tmp/ran\n")
    (folder / "empty.jpg").touch()


def sparse(folder: Path) -> None:
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)


# What is made, how many of it are pictures all the same, and how many are not.
MADE: list[tuple[Callable[[Path], object], int, int]] = [
    (headers, 0, 4),
    (colour_profiles, 4, 0),
    (exif_lies, 3, 0),
    (strips, 2, 0),
    (animation, 1, 0),
    (renamed, 0, 5),
    (sparse, 0, 1),
    (bombs, 1, 3),
]


@pytest.mark.parametrize(("make", "good", "bad"), MADE, ids=lambda it: getattr(it, "__name__", ""))
def test_each_is_indexed_or_a_recorded_failure(
    catalog: Catalog, photos: Path, make: Callable[[Path], object], good: int, bad: int
) -> None:
    make(photos)
    counts = as_counts(run_index(catalog, [photos], workers=2))
    assert counts["new"] == 4 + good and counts.get("failed", 0) == bad, list(
        catalog.files.failures()
    )
    for failed in catalog.files.failures():
        assert failed.reason and "\n" not in failed.reason
        assert "took more" not in failed.reason and "worker process" not in failed.reason
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 4 + good + bad}


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux has in a folder")
def test_pipes_devices_and_sockets_are_never_opened(
    catalog: Catalog, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(photos / "pipe.jpg")
    (photos / "zero.jpg").symlink_to("/dev/zero")
    (photos / "terminal.png").symlink_to("/dev/tty")
    monkeypatch.chdir(photos)  # the address of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.jpg")
        listening.listen()
        listening.setblocking(False)
        assert as_counts(run_index(catalog, [photos], workers=1)) == {"new": 4, "encoded": 4}
        with pytest.raises(BlockingIOError):
            listening.accept()
    # An open for writing finds a reader on a pipe only if somebody has opened it.
    with pytest.raises(OSError):
        os.open("pipe.jpg", os.O_WRONLY | os.O_NONBLOCK)


@pytest.mark.skipif(not (DATA / "bad_pictures").exists(), reason="no reference data")
def test_files_that_crashed_pillow(catalog: Catalog, photos: Path) -> None:
    shutil.copytree(DATA / "bad_pictures", photos / "bad")
    for number, path in enumerate(sorted((photos / "bad").iterdir())):
        if path.suffix in (".bin", ".gpl", ".spider", ".p7") or not path.suffix:
            path.rename(path.with_name(f"{number}.png"))  # no scan would list them
    files = len(list((photos / "bad").iterdir()))
    counts = as_counts(run_index(catalog, [photos], workers=2))
    assert counts["new"] + counts["failed"] + counts.get("copied", 0) == files + 4
    assert catalog.counts().failures == counts["failed"] > 20


# -- decoders that end their process -------------------------------------------------------------

ENDS = {
    "abort": "os.abort()",
    "kill": "os.kill(os.getpid(), 9)",  # as the out-of-memory killer does
    "exit": "os._exit(3)",
    "loop": "\n        while True: pass",
    "stop": "os.kill(os.getpid(), 19)",
}
REASONS = {
    "abort": "decoding it crashed the worker process (SIGABRT)",
    "kill": "decoding it crashed the worker process (SIGKILL)",
    "exit": "decoding it crashed the worker process (exit code 3)",
    "loop": "decoding it took more than 2 s",
    "stop": "decoding it took more than 2 s",
}


@pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")
@pytest.mark.parametrize("how", ENDS)
def test_a_decoder_that_ends_its_process_costs_its_file(
    catalog: Catalog, photos: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The others of its batch are indexed, the reason is recorded, and it is not tried again."""
    bad = photos / "002b.png"
    shutil.copy(photos / "002.png", bad)
    with bad.open("ab") as file:
        file.write(b"CRASH")
    paint_many(photos, 8, first=50)
    crash = f"""
import os
from retrieval.decoding import decode
original = decode.decode
def crashing(data, *how):
    if data.endswith(b"CRASH"):
        {ENDS[how]}
    return original(data, *how)
decode.decode = crashing
serve(*how)"""
    start = worker.BOOTSTRAP.replace("\nserve(*how)", crash)
    monkeypatch.setattr(worker, "BOOTSTRAP", start)
    monkeypatch.setattr(worker, "STARVED", 1)  # only a stopped one needs to be ended from outside
    defaults = RingPool.__init__.__kwdefaults__
    assert defaults
    monkeypatch.setitem(defaults, "seconds", 2.0)
    counts = as_counts(run_index(catalog, [photos], workers=2))
    assert counts == {"new": 12, "failed": 1, "encoded": 12}
    assert [(f.path, f.reason) for f in catalog.files.failures()] == [(bad, REASONS[how])]
    assert as_counts(run_index(catalog, [photos])) == {"unchanged": 13}


@pytest.mark.skipif(os.name != "posix", reason="processor time is limited on POSIX")
def test_a_wait_is_no_work(catalog: Catalog, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine or a slow disk costs no picture, though each takes longer than the limit."""
    wait = """
import time
from retrieval.decoding import content
original = content.read
content.read = lambda *what: time.sleep(0.7) or original(*what)
serve(*how)"""
    start = worker.BOOTSTRAP.replace("\nserve(*how)", wait)
    monkeypatch.setattr(worker, "BOOTSTRAP", start)
    defaults = RingPool.__init__.__kwdefaults__
    assert defaults
    monkeypatch.setitem(defaults, "seconds", 0.5)
    assert as_counts(run_index(catalog, [photos], workers=2)) == {"new": 4, "encoded": 4}


# -- files that change under us ------------------------------------------------------------------


def change(path: Path, how: str) -> None:
    match how:
        case "vanishes":
            path.unlink()
        case "grows":
            with path.open("ab") as file:
                file.write(bytes(1_000))
        case "becomes a folder":
            path.unlink()
            path.mkdir()
        case "becomes a pipe":
            path.unlink()
            os.mkfifo(path)
        case "becomes another":
            paint(path, 900)
        case "is cut":
            os.truncate(path, 20)


@pytest.mark.skipif(os.name != "posix", reason="pipes")
@pytest.mark.parametrize(
    "how",
    ["vanishes", "grows", "becomes a folder", "becomes a pipe", "becomes another", "is cut"],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_file_that_changes_between_scan_and_read(
    catalog: Catalog, photos: Path, monkeypatch: pytest.MonkeyPatch, how: str, is_known: bool
) -> None:
    """Whatever this run makes of it, the next one sees what is there then."""
    target = photos / "target.png"
    paint(target, 70)
    if is_known:
        run_index(catalog, [photos])
        paint(target, 71)
    original = InProcess.submit
    changed = list[str]()

    def submit(pool: InProcess, task: Task) -> None:
        if task.path == os.fsencode(target) and not changed:
            change(target, how)
            changed.append(how)
        original(pool, task)

    monkeypatch.setattr(InProcess, "submit", submit)
    run_index(catalog, [photos])
    assert changed
    run_index(catalog, [photos])
    with closing(Catalog.open(photos.parent / "fresh", create=True)) as fresh:
        run_index(fresh, [photos])
        expected = fresh.rows("SELECT path, size, mtime_ns, failure FROM files ORDER BY path")
    assert catalog.rows("SELECT path, size, mtime_ns, failure FROM files ORDER BY path") == expected
    assert (
        catalog.counts().images
        == catalog.counts().embedded
        == len(expected) - sum(failure is not None for *_, failure in expected)
    )


def test_a_bomb_of_idat_is_bounded_by_its_header(tmp_path: Path) -> None:
    """Data that goes on beyond the pixels is not inflated."""
    from retrieval.decoding.decode import decode

    data = zlib.compress(bytes(200_000_000), 9)
    decoded = decode(png(tmp_path / "long.png", 8, 8, data).read_bytes(), 16)
    assert (decoded.width, decoded.height) == (8, 8)
