"""Decoding of a file's bytes for the encoder: upright, RGB, cropped, uint8.

Runs in worker processes and never imports torch. Any problem with a file becomes an
`UnreadablePicture` whose message is one sentence about it.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from clipmodel.bicubic import Box
from clipmodel.preprocess import crop, resize
from retrieval.decoding.colours import rgb
from retrieval.decoding.difference_hash import difference_hash
from retrieval.decoding.exif import orientation_of
from retrieval.decoding.formats import COMMON, pillow_formats
from retrieval.decoding.kinds.refusal import refused
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.metadata.facts import read_metadata
from retrieval.decoding.pillow_errors import explained, too_large
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Decoded, Facts, Shot

# A JPEG is decoded at 1/2, 1/4 or 1/8 if at least this many times the model's side remains; so 12
# megapixels are decoded at an eighth. The cosine to the vector of a full decode, over eight photos
# enlarged to three sizes, with the bundled model: at least 0.9978, on average 0.9994. A factor of 2
# is slower and gives 0.9995 and 0.9999.
DRAFT_FACTOR = 1.5

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
SMALL_SIDE = 96  # pixels that a difference hash is taken from if no model needs more


def decode(data: bytes, size: int, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a picture's first frame for a model of `size` pixels a side.

    Raises UnreadablePicture, also for more than `max_pixels` or than Pillow's own limit in this
    process (see `allowing`).
    """
    with explained():
        return _decode(data, size, max_pixels)


def thumbnail(data: bytes, width: int, height: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return a picture's first frame to show: RGB, upright, at most width × height, without EXIF.

    Limits and errors are those of `decode`.
    """
    with explained(), _open(data) as image:
        _bound(image, max_pixels)
        # The orientation is certain only once the picture is loaded.
        either = [_within(image.size, box) for box in ((width, height), (height, width))]
        least = tuple(int(DRAFT_FACTOR * max(sides)) for sides in zip(*either, strict=True))
        drafted = image.draft(None, (least[0], least[1]))
        image.load()
        orientation = orientation_of(image)
        size = either[orientation in QUARTER_TURNS]
        small = rgb(image).resize(size, Image.Resampling.LANCZOS, drafted and drafted[1], 2.0)
        small.info.clear()  # no place, and no orientation to apply twice
        return _upright(small, orientation)


def webp(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "WEBP", quality=WEBP_QUALITY, method=2)
    return written.getvalue()


def pixels_of(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return a picture that Pillow has open as (size, size, 3). Raises UnreadablePicture."""
    with explained():
        image.load()
        small = _small(image, orientation_of(image), size)
        return np.asarray(crop(small, size), np.uint8)


def describe(data: bytes) -> tuple[Facts, Shot]:
    """Return a picture's metadata without decoding its pixels. Raises UnreadablePicture."""
    with explained(), _open(data) as image:
        return read_metadata(image)


def hashed(data: bytes, max_pixels: int = MAX_PIXELS) -> bytes | None:
    """Return a picture's difference hash; None if its pixels cannot be decoded."""
    try:
        return decode(data, SMALL_SIDE, max_pixels).difference_hash
    except UnreadablePicture:
        return None


@contextmanager
def allowing(max_pixels: int) -> Iterator[None]:
    """Set Pillow's own limit for this process to ours; it also covers pictures inside pictures."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2  # above it, a warning; above twice, an error
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
        orientation, (facts, shot) = orientation_of(image), read_metadata(image)
        small = _small(image, orientation, size, drafted and drafted[1])
    if orientation in QUARTER_TURNS:
        width, height = height, width
    pixels = np.asarray(crop(small, size), np.uint8)
    return Decoded(pixels, width, height, format, facts, shot, difference_hash(small))


def _bound(image: Image.Image, max_pixels: int) -> tuple[int, int]:
    """Return the size of a picture before it is decoded. Raises UnreadablePicture."""
    width, height = image.size
    if width * height > max_pixels:
        raise too_large(f"{width} × {height}", max_pixels)
    return width, height


def _within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return `size` reduced to fit into `box`."""
    scale = min(1.0, *(most / side for side, most in zip(size, box, strict=True)))
    width, height = (max(1, round(scale * side)) for side in size)
    return width, height


def _small(image: Image.Image, orientation: int, size: int, box: Box | None = None) -> Image.Image:
    """Return it in RGB, upright, `size` on the shorter side. box: as in `preprocess.resize`."""
    return _upright(resize(rgb(image), size, box, quick=True), orientation)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadablePicture("the file is empty", FailureCode.EMPTY)
    try:
        return Image.open(io.BytesIO(data), formats=COMMON)
    except UnidentifiedImageError:
        try:
            return Image.open(io.BytesIO(data), formats=pillow_formats())
        except UnidentifiedImageError as error:
            raise refused(data) from error


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
