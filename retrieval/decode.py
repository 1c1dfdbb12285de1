"""From the bytes of a file to what the encoder wants: upright, RGB, cropped, uint8.

Runs in worker processes and never imports torch. Whatever is wrong with a file becomes an
`UnreadablePicture` whose message is one sentence about it.
"""

import hashlib
import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clipmodel.bicubic import Box
from clipmodel.preprocess import crop, resize
from retrieval.bounds import MAX_BYTES, MAX_PIXELS, TOO_LARGE
from retrieval.difference_hash import difference_hash
from retrieval.errors import UnreadablePicture, reason
from retrieval.exif import orientation_of, shot_of, taken_at
from retrieval.records import Decoded, Shot

# A JPEG is decoded at 1/2, 1/4 or 1/8 as long as this many times the model's side is left, so that
# 12 megapixels are decoded at an eighth. The cosine to the vector of a full decode, of eight photos
# enlarged to three sizes and the bundled model: 0.9978 at least, 0.9994 on average; with 2, which
# is slower, 0.9995 and 0.9999.
DRAFT_FACTOR = 1.5

COMMON = ["JPEG", "PNG", "GIF"]  # what Pillow knows without the 0.2 s that all its plugins take

# Pillow opens these too, but they are no raster pictures, or are read by other programs.
NOT_PICTURES = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "PDF", "WMF"}

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
QUARTER_TURNS = (5, 6, 7, 8)

WEBP_QUALITY = 80
SMALL_SIDE = 96  # pixels that a difference hash is taken from, where no model asks for more

DIGEST_BYTES = 16
NO_MEMORY = "it takes more memory than there is"


def digest_of(data: bytes) -> bytes:
    """What names an image: blake2b-128 of its file's bytes."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def read(path: Path | bytes) -> bytes:
    """The bytes of a regular file. Raises UnreadablePicture; FileNotFoundError if it is gone."""
    # Not blocking, so that a pipe that took the file's place since the scan cannot hold us.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadablePicture("it is not a regular file")
            if status.st_size > MAX_BYTES:
                raise UnreadablePicture(f"it has {status.st_size:,} bytes, more than {MAX_BYTES:,}")
            return file.read(status.st_size)  # not more: Python takes the memory before it reads
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise UnreadablePicture(NO_MEMORY) from error
    except OSError as error:
        raise UnreadablePicture(f"it cannot be read: {reason(error)}") from error


def decode(data: bytes, size: int, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a picture's first frame for a model of `size` pixels a side.

    Beyond `max_pixels`, or Pillow's own bound for this process (see `allowing`), it is not decoded.
    Raises UnreadablePicture.
    """
    with _explained():
        return _decode(data, size, max_pixels)


def thumbnail(data: bytes, width: int, height: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture's first frame for people: RGB, upright, no larger than width × height, nothing of
    its EXIF with it. Bounds and errors as of `decode`.
    """
    with _explained(), _open(data) as image:
        _bound(image, max_pixels)
        # Which way up is known for sure only when it is loaded.
        either = [_within(image.size, box) for box in ((width, height), (height, width))]
        least = tuple(int(DRAFT_FACTOR * max(sides)) for sides in zip(*either, strict=True))
        drafted = image.draft(None, (least[0], least[1]))
        image.load()
        orientation = orientation_of(image)
        size = either[orientation in QUARTER_TURNS]
        small = _rgb(image).resize(size, Image.Resampling.LANCZOS, drafted and drafted[1], 2.0)
        small.info.clear()  # a copy of it says neither where it was taken nor how to turn it
        return _upright(small, orientation)


def webp(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "WEBP", quality=WEBP_QUALITY, method=2)
    return written.getvalue()


def pixels_of(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) of a picture that Pillow has open. Raises UnreadablePicture."""
    with _explained():
        image.load()
        small = _small(image, orientation_of(image), size)
        return np.asarray(crop(small, size), np.uint8)


def describe(data: bytes) -> Shot:
    """What a picture's EXIF says; its pixels are not decoded. Raises UnreadablePicture."""
    with _explained(), _open(data) as image:
        return shot_of(image)


def hashed(data: bytes, max_pixels: int = MAX_PIXELS) -> bytes | None:
    """A picture's difference hash; None where its pixels cannot be decoded."""
    try:
        return decode(data, SMALL_SIDE, max_pixels).difference_hash
    except UnreadablePicture:
        return None


@contextmanager
def allowing(max_pixels: int) -> Iterator[None]:
    """Set Pillow's own bound for this process to ours; it guards pictures inside pictures, too."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2  # it warns beyond it, and raises beyond twice it
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _decode(data: bytes, size: int, max_pixels: int) -> Decoded:
    with _open(data) as image:
        width, height = _bound(image, max_pixels)
        format = image.format or ""
        least = int(DRAFT_FACTOR * size)
        drafted = image.draft(None, (least, least))
        image.load()
        orientation, taken, shot = orientation_of(image), taken_at(image), shot_of(image)
        small = _small(image, orientation, size, drafted and drafted[1])
    if orientation in QUARTER_TURNS:
        width, height = height, width
    pixels = np.asarray(crop(small, size), np.uint8)
    return Decoded(pixels, width, height, format, taken, shot, difference_hash(small))


def _bound(image: Image.Image, max_pixels: int) -> tuple[int, int]:
    """The size of what is about to be decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise UnreadablePicture(f"it has {width} × {height}{TOO_LARGE}{max_pixels:,}")
    return width, height


def _within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """`size` made so small that it fits into `box`."""
    scale = min(1.0, *(most / side for side, most in zip(size, box, strict=True)))
    width, height = (max(1, round(scale * side)) for side in size)
    return width, height


def _small(image: Image.Image, orientation: int, size: int, box: Box | None = None) -> Image.Image:
    """RGB, upright, `size` on the shorter side; turned when small. `box`: `preprocess.resize`."""
    return _upright(resize(_rgb(image), size, box, quick=True), orientation)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn whatever Pillow raises into an UnreadablePicture, and keep its warnings to ourselves."""
    try:
        with QUIET:
            yield
    except UnreadablePicture:
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePicture("it is not a picture in a format that can be read") from error
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(_too_large(str(error))) from error
    except MemoryError as error:
        raise UnreadablePicture(NO_MEMORY) from error
    except Exception as error:  # a decoder fed with garbage raises anything
        raise UnreadablePicture(_one_line(error)) from error


class Quiet:
    """No warnings while any thread is in here; `catch_warnings` alone is for one thread only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


QUIET = Quiet()


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadablePicture("the file is empty")
    try:
        return Image.open(io.BytesIO(data), formats=COMMON)
    except UnidentifiedImageError:
        return Image.open(io.BytesIO(data), formats=formats())


@cache
def formats() -> list[str]:
    """Pillow's names of those that hold pictures; HEIC's where pillow-heif is there."""
    try:
        import pillow_heif
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    Image.init()
    return [format for format in Image.ID if format not in NOT_PICTURES]


# -- colours -------------------------------------------------------------------------------------


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB, what is transparent on white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey(image)).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")  # a copy costs 1 GB
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _grey(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """One channel of 16 or 32 bits as (H, W) uint8.

    The range is the type's where it has one; where it has none, the first of 0..1, 0..255, 0..65535
    that holds the values, or else from the least to the greatest.
    """
    values = np.asarray(image)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    values = values.astype(np.float32)
    np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    bounds = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    if low >= 0 and high <= bounds[-1]:
        low, high = 0.0, next(bound for bound in bounds if high <= bound)
    values -= low
    values *= 255.0 / ((high - low) or 1.0)
    return values.astype(np.uint8)


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # LittleCMS, for a handful of TIFFs

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transformed = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert transformed is not None  # only in-place conversion returns None
    return transformed


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)


def _too_large(said: str) -> str:
    """Pillow's complaint about a picture's size as `_decode` words it."""
    numbers = re.findall(r"\d+", said)
    if len(numbers) != 2:
        return "it has more pixels than a picture may have"
    held, most = map(int, numbers)
    return f"it has {held:,}{TOO_LARGE}{most:,}"


def _one_line(error: Exception) -> str:
    said = " ".join(str(error).split()) or type(error).__name__
    return f"it cannot be decoded: {said[:200]}"
