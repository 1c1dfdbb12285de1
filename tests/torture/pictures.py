"""Pictures cut and altered, of every format: each is decoded or fails with one line, in bounds."""

import importlib.util
import io
import os
import random
import re
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from retrieval.decoding.limits import MAX_PIXELS, MAX_SECONDS, memory_for
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode
from tests.retrieval.decoding.formats.raw_files import dng
from tests.retrieval.decoding.formats.samples import QUICK_HEIC, psd, written
from tests.retrieval.small import DATA, SIDE
from tests.torture.tally import Tally

FORMATS = (
    "JPEG PNG WEBP TIFF GIF AVIF JPEG2000 BMP PPM TGA ICO ICNS PCX SGI DDS QOI BLP MPO IM DIB "
    "MSP XBM"
).split()
MODES = {"MSP": "1", "XBM": "1", "BLP": "P", "ICO": "RGBA", "ICNS": "RGBA"}
OPTIONS: dict[str, dict[str, object]] = {
    "GIF": {"save_all": True},
    "PNG": {"save_all": True},
    "WEBP": {"save_all": True},
    "MPO": {"save_all": True},
    "TIFF": {"compression": "tiff_lzw"},
}
CHANGES = 12  # at most, of a mutation
WORKERS = 2
AHEAD = 64  # files under way
BOX, MOMENTS = (48, 48), 4  # of a thumbnail, and of what has several frames


def run(folder: Path, seed: int, quick: bool) -> Iterator[Tally]:
    whole = list(samples())
    cut = Tally("pictures cut at every sixteenth")
    decode_all(folder, list(truncations(whole)), cut)
    yield cut
    altered = Tally("pictures with bytes altered")
    count = 200 if quick else 10_000
    decode_all(folder, mutations(whole, count, random.Random(seed)), altered)
    yield altered
    if (DATA / "bad_pictures").exists():
        corpus = Tally("files that crashed Pillow once")
        files = sorted((DATA / "bad_pictures").iterdir())
        decode_all(folder, [file.read_bytes() for file in files], corpus)
        yield corpus


def samples() -> Iterator[bytes]:
    """A picture of two frames, with EXIF and a colour profile, in every format that takes it."""
    from PIL import ImageCms

    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    exif.get_ifd(0x8769)[0x9003] = "2023:06:01 12:34:56"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (2, 24, 32, 3), dtype=np.uint8)
    first, second = (Image.fromarray(frame).resize((96, 64)) for frame in noise)
    yield from plugins(first, exif.tobytes(), profile)
    yield from films()
    for format in FORMATS:
        mode, options = MODES.get(format, "RGB"), dict(OPTIONS.get(format, {}))
        if options.get("save_all"):
            options["append_images"] = [second.convert(mode)]
        if format in ("JPEG", "PNG", "WEBP", "AVIF"):
            options |= {"exif": exif.tobytes(), "icc_profile": profile}
        stream = io.BytesIO()
        try:
            with warnings.catch_warnings(action="ignore"):  # of formats that will go
                first.convert(mode).save(stream, format, **options)
        except (KeyError, ValueError, OSError):  # not every Pillow writes all of them
            continue
        yield stream.getvalue()


def films() -> Iterator[bytes]:
    """Videos of two scenes in the commonest containers."""
    if importlib.util.find_spec("av"):
        from tests.retrieval.decoding.films import film

        with TemporaryDirectory() as folder:
            for extension in (".mp4", ".mov", ".mkv", ".avi", ".mts"):
                told = {"title": "a film", "location": "+32.0929+034.8620/"}
                path = film(Path(folder) / f"a{extension}", [1, 2], metadata=told)
                yield path.read_bytes()


def plugins(picture: Image.Image, exif: bytes, profile: bytes) -> Iterator[bytes]:
    """The formats of our plugins, each in all the ways in which it is read."""
    for bits in (8, 16, 32):
        for is_packed in (False, True):
            yield psd(picture, bits, is_packed=is_packed, tags=exif, profile=profile)
    yield written(picture.resize((400, 300)), "JPEG2000")  # large enough to be halved
    for preview in (None, (96, 64), (16, 12)):
        yield dng(picture, preview=preview, orientation=6)
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        for small in ([], [48]):
            stream, heif = io.BytesIO(), pillow_heif.from_pillow(picture.resize((480, 320)))
            heif[0].info["thumbnails"] = small
            heif.save(stream, exif=exif, icc_profile=profile, enc_params=QUICK_HEIC)
            yield stream.getvalue()
    if importlib.util.find_spec("imagecodecs"):
        import imagecodecs

        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", exif=exif, icc_profile=profile)
        yield bytes(imagecodecs.jpegxl_encode_jpeg(jpeg.getvalue()))
        for options in ({"lossless": True}, {"level": 80}):
            yield bytes(imagecodecs.jpegxl_encode(np.asarray(picture), **options))
        floats = np.asarray(picture, np.float32) / 255
        for options in ({}, {"compression": "lzw", "predictor": True, "tile": (32, 32)}):
            yield bytes(imagecodecs.tiff_encode(floats, photometric="rgb", **options))


def truncations(whole: Sequence[bytes]) -> Iterator[bytes]:
    for data in whole:
        yield from (data[: len(data) * part // 16] for part in range(16))
        yield data[:-1]


def mutations(whole: Sequence[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """Bytes altered, mostly in the first kilobyte, where formats say what they are."""
    for _ in range(count):
        data = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, CHANGES)):
            reach = len(data) if chance.random() < 0.4 else min(len(data), 1024)
            place = chance.randrange(reach)
            match chance.randrange(4):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    data[place] ^= 1 << chance.randrange(8)
                case 2:
                    data[place : place + 4] = chance.choice((b"\xff" * 4, bytes(4), b"\x7f" * 4))
                case 3:
                    data[place : place + chance.randint(1, 64)] = b""
            if not data:
                break
        yield bytes(data)


def decode_all(folder: Path, pictures: Iterator[bytes] | Sequence[bytes], tally: Tally) -> None:
    """As an index run does: in workers, each file a task."""
    began: dict[int, float] = {}
    slowest = peak = failed = died = 0.0
    with closing(WorkerPool(WORKERS)) as pool:

        def settle(answer: TaskResult) -> None:
            nonlocal slowest, failed, died
            path = folder / str(answer.key)
            slowest = max(slowest, time.monotonic() - began.pop(answer.key))
            failed += answer.failure is not None
            died += bool(answer.failure and answer.failure.code is FailureCode.CRASHED)
            where = f"{tally.fault}, number {answer.key}"
            one = (answer.decoded is None) != (answer.failure is None)
            tally.expect(one, f"{where}: neither decoded nor failed")
            if answer.failure:
                plain = re.fullmatch(r"[^\n]{5,250}", answer.failure.reason)
                tally.expect(plain is not None, f"{where}: {answer.failure!r}")
                is_slow = answer.failure.code is FailureCode.TIMED_OUT
                tally.expect(not is_slow, f"{where}: {answer.failure}")
            path.unlink()

        for key, data in enumerate(pictures):
            (folder / str(key)).write_bytes(data)
            began[key] = time.monotonic()
            path = os.fsencode(folder / str(key))
            pool.submit(Task(key, path, SIDE, MAX_PIXELS, box=BOX, most=MOMENTS))
            tally.tried += 1
            while pool.pending >= AHEAD:
                if answer := pool.collect():
                    settle(answer)
            if not key % 64:
                peak = max(peak, most_memory())
        while pool.pending:
            if answer := pool.collect():
                settle(answer)
        peak = max(peak, most_memory())
    tally.expect(peak < memory_for(MAX_PIXELS), f"{tally.fault}: a worker took {peak:,.0f} bytes")
    tally.expect(slowest < 2 * MAX_SECONDS, f"{tally.fault}: one took {slowest:.0f} s")
    tally.note = (
        f"{failed:.0f} failed, {died:.0f} with their worker; "
        f"memory {peak / 1e6:.0f} MB, the slowest {slowest:.1f} s, waiting included"
    )


def most_memory() -> int:
    """The most that any worker of this process has held so far, in bytes."""
    if sys.platform != "linux":
        return 0
    most = 0
    for children in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        for pid in children.read_text().split():
            try:
                status = Path(f"/proc/{pid}/status").read_text()
            except OSError:
                continue  # it ended meanwhile
            found = re.search(r"^VmHWM:\s*(\d+)", status, re.MULTILINE)
            most = max(most, int(found[1]) << 10 if found else 0)
    return most
