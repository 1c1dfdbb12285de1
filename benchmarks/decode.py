"""Decoding for a model of 224 pixels a side: files per second of one process, ours and Pillow's.

Plain Pillow does what CLIP's examples do: open, convert, resize. Ours is a worker process of an
index run, from task to answer: it also hashes the file, turns it upright, reads its EXIF and sends
the pixels. Two figures compare the results at the bundled model's own size: the pixels' mean
difference, out of 255, and the cosine of their vectors.

The last row is an index run over videos, with all that belongs to it: see harness/films.py.
"""

import importlib.util
import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.harness.films import film_row
from benchmarks.harness.inputs import photo
from benchmarks.harness.report import Cell, Row
from benchmarks.harness.timing import steady
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.preprocess import to_pixels
from clipmodel.pretrained import resolve
from retrieval.decoding import decode
from retrieval.decoding.formats import can_read_films, pillow_formats
from retrieval.decoding.limits import MAX_PIXELS, MAX_SECONDS
from retrieval.decoding.task import Task
from retrieval.decoding.worker import Processes, Worker

SIDE = 224
SIZES = {"640×480": (640, 480), "12 MP": (4000, 3000), "50 MP": (8160, 6120)}
FORMATS = {"JPEG": {"quality": 85}, "PNG": {}, "WEBP": {"quality": 80}, "HEIC": {"quality": 60}}
SMALL = "HEIC with a small picture"  # inside, of 320 × 240, as phones store it
SECONDS = 2.0  # of each figure, at least


def run(folder: Path, quick: bool) -> Iterator[Row]:
    with decode.allowing(MAX_PIXELS):
        yield from rows(folder / "picture", quick)


def rows(file: Path, quick: bool) -> Iterator[Row]:
    encoder = NumpyImageEncoder(resolve("tiny"))
    pillow_formats()  # also for Pillow's part
    formats = [*FORMATS, SMALL] if has_heif() else [each for each in FORMATS if each != "HEIC"]
    for name in list(SIZES)[:1] if quick else SIZES:
        picture = photo(np.random.default_rng(0), SIZES[name])
        for format in formats:
            data = encoded(picture, format)
            file.write_bytes(data)
            rates = measured(file, 0.1 if quick else SECONDS)
            said = {"size": name, "format": format}
            yield said | rates | differences(data, encoder)
    if can_read_films():
        yield film_row(file.parent / "films", quick)


def measured(file: Path, least: float) -> dict[str, Cell]:
    worker, task = Worker(Processes(MAX_SECONDS)), Task(0, os.fsencode(file), SIDE, MAX_PIXELS)
    ours = 1 / steady(lambda: worker.do(task), least)
    worker.end()
    theirs = 1 / steady(lambda: plain(file.read_bytes(), SIDE), least)
    return {
        "MB": file.stat().st_size / 1e6,
        "files/s": ours,
        "Pillow files/s": theirs,
        "ratio": ours / theirs,
    }


def differences(data: bytes, encoder: NumpyImageEncoder) -> dict[str, Cell]:
    apart = decode.decode(data, SIDE).pixels.astype(np.float32) - plain(data, SIDE)
    side = encoder.size
    one, other = encoder.encode(
        np.stack([decode.decode(data, side).pixels, plain(data, side)])
    )  # (2, side, side, 3) -> (2, D)
    return {"pixels apart": float(np.abs(apart).mean()), "cosine": f"{one @ other:.5f}"}


def plain(data: bytes, side: int) -> NDArray[np.uint8]:
    """Return the pixels as CLIP's examples prepare them, (side, side, 3)."""
    with Image.open(io.BytesIO(data)) as image:
        return to_pixels(image.convert("RGB"), side)


def encoded(picture: Image.Image, format: str) -> bytes:
    file = io.BytesIO()
    if format in ("HEIC", SMALL):
        import pillow_heif  # it writes; pi-heif, which we install, only reads

        heif = pillow_heif.from_pillow(picture)
        small = [320] if format == SMALL else []
        heif[0].info.update(thumbnails=small)  # type: ignore[arg-type]
        heif.save(file, **FORMATS["HEIC"])
    else:
        picture.save(file, format, **FORMATS[format])
    return file.getvalue()


def has_heif() -> bool:
    return importlib.util.find_spec("pillow_heif") is not None
