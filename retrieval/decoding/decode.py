"""From the bytes of a file to what the encoder wants: upright, RGB, cropped, uint8.

Runs in worker processes and never imports torch. Whatever is wrong with a file becomes an
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
from retrieval.decoding.exif import orientation_of, shot_of, taken_at
from retrieval.decoding.formats import COMMON, pillow_formats
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pillow_errors import explained, too_large
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Decoded, Shot

# A JPEG is decoded at 1/2, 1/4 or 1/8 as long as this many times the model's side is left, so that
# 12 megapixels are decoded at an eighth. The cosine to the vector of a full decode, of eight photos
# enlarged to three sizes and the bundled model: 0.9978 at least, 0.9994 on average; with 2, which
# is slower, 0.9995 and 0.9999.
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
SMALL_SIDE = 96  # pixels that a difference hash is taken from, where no model asks for more


def decode(data: bytes, size: int, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a picture's first frame for a model of `size` pixels a side.

    Beyond `max_pixels`, or Pillow's own bound for this process (see `allowing`), it is not decoded.
    Raises UnreadablePicture.
    """
    with explained():
        return _decode(data, size, max_pixels)


def thumbnail(data: bytes, width: int, height: int, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """A picture's first frame for people: RGB, upright, no larger than width × height, nothing of
    its EXIF with it. Bounds and errors as of `decode`.
    """
    with explained(), _open(data) as image:
        _bound(image, max_pixels)
        # Which way up is known for sure only when it is loaded.
        either = [_within(image.size, box) for box in ((width, height), (height, width))]
        least = tuple(int(DRAFT_FACTOR * max(sides)) for sides in zip(*either, strict=True))
        drafted = image.draft(None, (least[0], least[1]))
        image.load()
        orientation = orientation_of(image)
        size = either[orientation in QUARTER_TURNS]
        small = rgb(image).resize(size, Image.Resampling.LANCZOS, drafted and drafted[1], 2.0)
        small.info.clear()  # a copy of it says neither where it was taken nor how to turn it
        return _upright(small, orientation)


def webp(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "WEBP", quality=WEBP_QUALITY, method=2)
    return written.getvalue()


def pixels_of(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) of a picture that Pillow has open. Raises UnreadablePicture."""
    with explained():
        image.load()
        small = _small(image, orientation_of(image), size)
        return np.asarray(crop(small, size), np.uint8)


def describe(data: bytes) -> Shot:
    """What a picture's EXIF says; its pixels are not decoded. Raises UnreadablePicture."""
    with explained(), _open(data) as image:
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
        raise too_large(f"{width} × {height}", max_pixels)
    return width, height


def _within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """`size` made so small that it fits into `box`."""
    scale = min(1.0, *(most / side for side, most in zip(size, box, strict=True)))
    width, height = (max(1, round(scale * side)) for side in size)
    return width, height


def _small(image: Image.Image, orientation: int, size: int, box: Box | None = None) -> Image.Image:
    """RGB, upright, `size` on the shorter side; turned when small. `box`: `preprocess.resize`."""
    return _upright(resize(rgb(image), size, box, quick=True), orientation)


def _open(data: bytes) -> Image.Image:
    if not data:
        raise UnreadablePicture("the file is empty", FailureCode.EMPTY)
    try:
        return Image.open(io.BytesIO(data), formats=COMMON)
    except UnidentifiedImageError:
        return Image.open(io.BytesIO(data), formats=pillow_formats())


# -- colours -------------------------------------------------------------------------------------


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
