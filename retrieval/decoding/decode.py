"""Decoding of a file's bytes for the encoder: upright, RGB, cropped, uint8.

Runs in worker processes and never imports torch. Any problem with a file becomes an
`UnreadablePicture` whose message is one sentence about it.
"""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from clipmodel.bicubic import Box
from clipmodel.config import Resize
from clipmodel.preprocess import as_resize, crop, resize
from retrieval.decoding.colours import plain
from retrieval.decoding.difference_hash import difference_hash
from retrieval.decoding.exif import orientation_of
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.media import animation
from retrieval.decoding.metadata.facts import read_metadata
from retrieval.decoding.opening import (
    MAX_MISSING,
    lacks_its_end,
    load_what_is_there,
    mended,
    opened,
)
from retrieval.decoding.pillow_errors import explained, too_large
from retrieval.decoding.plugins.smaller import Smaller, drafted
from retrieval.decoding.profiles import transform_of
from retrieval.errors import UnreadablePicture
from retrieval.records import Decoded, Facts, Frame, Moment, Shot

T = TypeVar("T")

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
WEBP_LARGE = 2048  # pixels
SMALL_SIDE = 96  # pixels that a difference hash is taken from if no model needs more

# A picture at least twice this many times as large as a model looks at is first averaged over
# squares of pixels, as long as this many times the model's side remains. 12 megapixels take 20 ms
# in place of 110; the cosine to the vector without was at least 0.9994 for ten photos (`tiny-2`).
REDUCED_FACTOR = 3
NEXT_TO_NOTHING = 1e-7  # pixels


def decode(
    data: bytes,
    size: Resize | int,
    max_pixels: int = MAX_PIXELS,
    most: int = 1,
    at: Sequence[Moment] = (),
) -> Decoded:
    """Decode a picture for a model of `size` (a number: pixels a side, cropped).

    Of several frames or pages, the first is decoded; with `most`, as many as are worth a vector,
    and with `at`, just these moments. Raises UnreadablePicture, also for more than `max_pixels` or
    than Pillow's own limit in this process (see `allowing`).
    """
    first = _whole_or_mended(data, lambda sound, cut: _decode(sound, size, max_pixels, cut))
    moments = at if at or most < 2 else moments_in(data, most, max_pixels)
    if len(moments) < 2:
        return first
    return first._replace(frames=tuple(_frames(data, size, moments, first.pixels)))


def thumbnail(
    data: bytes,
    width: int,
    height: int,
    max_pixels: int = MAX_PIXELS,
    at: Moment | None = None,
) -> Image.Image:
    """Return a picture to show: RGB, upright, at most width × height, without EXIF.

    It is the first frame, or the moment `at`. Limits and errors are those of `decode`.
    """
    box, place = (width, height), int(at.position) if at else 0
    return _whole_or_mended(data, lambda sound, cut: _thumbnail(sound, box, max_pixels, cut, place))


def moments_in(data: bytes, most: int, max_pixels: int = MAX_PIXELS) -> Sequence[Moment]:
    """Return up to `most` moments that are worth a vector; none of a picture that has only one.

    Raises UnreadablePicture.
    """
    with explained():
        with opened(data) as image:
            shape = animation.shape_of(image)
        if shape is None:
            return []
        with opened(data) as image:
            moments = animation.moments_of(image, shape, most, max_pixels)
        return moments if len(moments) > 1 else []


def webp(image: Image.Image) -> bytes:
    """Return a picture as WebP; a large one in half of the time and with a tenth more bytes."""
    written = io.BytesIO()
    method = 2 if max(image.size) <= WEBP_LARGE else 0
    image.save(written, "WEBP", quality=WEBP_QUALITY, method=method)
    return written.getvalue()


def pixels_of(image: Image.Image, size: Resize | int) -> NDArray[np.uint8]:
    """Return a picture that Pillow has open as (S, S, 3). Raises UnreadablePicture."""
    with explained():
        image.load()
        small = _small(image, orientation_of(image), size)
        return np.asarray(crop(small, size), np.uint8)


def prepared(image: Image.Image, size: Resize | int) -> tuple[NDArray[np.uint8], bytes]:
    """Return the pixels of an upright RGB picture in memory, (S, S, 3), and its difference hash."""
    small = _small(image, 1, size)
    return np.asarray(crop(small, size), np.uint8), difference_hash(small)


def describe(data: bytes) -> tuple[Facts, Shot]:
    """Return a picture's metadata without decoding its pixels. Raises UnreadablePicture."""
    with explained(), opened(data) as image:
        return read_metadata(image)


def differs(data: bytes) -> bool:
    """Return whether versions of this package before DECODING 1 decoded a picture otherwise."""
    with explained(), opened(data) as image:
        if image.format in ("RAW", "JXL") or image.mode[0] in "IF":
            return True
        return image.mode != "LAB" and transform_of(image) is not None


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


def _whole_or_mended(data: bytes, read: Callable[[bytes, bool], T]) -> T:
    """Read a picture; one whose file ends too early as far as it goes."""
    with explained():
        try:
            return read(data, False)
        except OSError as error:
            if (sound := mended(data, error)) is None:
                raise
            return read(sound, True)


def _decode(data: bytes, size: Resize | int, max_pixels: int, is_truncated: bool) -> Decoded:
    with opened(data) as image:
        width, height = _bound(image, max_pixels)
        format = image.format or ""
        box = _load(image, as_resize(size).shorter, is_truncated)
        orientation, (facts, shot) = orientation_of(image), read_metadata(image)
        small = _small(image, orientation, size, box)
    if orientation in QUARTER_TURNS:
        width, height = height, width
    pixels = np.asarray(crop(small, size), np.uint8)
    hash = difference_hash(small)
    is_truncated |= lacks_its_end(data)
    return Decoded(pixels, width, height, format, facts, shot, hash, is_truncated)


def _frames(
    data: bytes, size: Resize | int, moments: Sequence[Moment], first: NDArray[np.uint8]
) -> Iterator[Frame]:
    """Yield these moments; one that cannot be read is as the one before it."""
    with opened(data) as image:
        pixels = first
        for moment in moments:
            if moment.position:
                with suppress(UnreadablePicture):
                    with explained():
                        image.seek(int(moment.position))
                    pixels = pixels_of(image, size)
            yield Frame(moment, pixels)


def _thumbnail(
    data: bytes, box: tuple[int, int], max_pixels: int, is_truncated: bool, place: int
) -> Image.Image:
    with opened(data) as image:
        if place:
            image.seek(place)
        _bound(image, max_pixels)
        # The orientation is certain only once the picture is loaded.
        either = [within(image.size, sides) for sides in (box, box[::-1])]
        side = max(map(min, either)) if not place else max(image.size)
        part = _load(image, side, is_truncated, is_to_show=True)
        orientation = orientation_of(image)
        size = either[orientation in QUARTER_TURNS]
        transform = transform_of(image)
        whole = plain(image, keeps_inks=transform is not None)
        small = whole.resize(size, Image.Resampling.LANCZOS, part, 2.0)
        small = transform(small) if transform else small
        small.info.clear()  # no place, and no orientation to apply twice
        return _upright(small, orientation)


def _load(
    image: ImageFile.ImageFile, side: int, is_truncated: bool, *, is_to_show: bool = False
) -> Box | None:
    """Load a picture with at least `side` pixels on its shorter side if it has them, from the
    smallest that is in its file. Returns the exact part of it, as `draft` does.
    """
    if isinstance(image, Smaller):
        box = image.choose(side, is_to_show=is_to_show)
    else:
        box = drafted(image, side)
    if not is_truncated:
        image.load()
    elif load_what_is_there(image) > MAX_MISSING:
        raise UnreadablePicture("the file ends too early: most of the picture is missing")
    return box


def _bound(image: Image.Image, max_pixels: int) -> tuple[int, int]:
    """Return the size of a picture before it is decoded. Raises UnreadablePicture."""
    width, height = image.size
    if width * height > max_pixels:
        raise too_large(f"{width} × {height}", max_pixels)
    return width, height


def within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return `size` reduced to fit into `box`."""
    scale = min(1.0, *(most / side for side, most in zip(size, box, strict=True)))
    width, height = (max(1, round(scale * side)) for side in size)
    return width, height


def _small(
    image: Image.Image, orientation: int, size: Resize | int, box: Box | None = None
) -> Image.Image:
    """Return it in sRGB, upright, resized to be cropped. size, box: as in `preprocess.resize`.

    Colours are converted last, when few pixels are left.
    """
    transform = transform_of(image)
    plainly = plain(image, keeps_inks=transform is not None)
    whole, box = _reduced(plainly, as_resize(size).shorter, box)
    small = resize(whole, size, box, quick=whole.mode == "RGB")
    return _upright(transform(small) if transform else small, orientation)


def _reduced(image: Image.Image, side: int, box: Box | None) -> tuple[Image.Image, Box | None]:
    """Return a much larger picture at a whole fraction of its size, and the exact part of it."""
    factor = min(image.size) // (REDUCED_FACTOR * side)
    if box or factor < 2:
        return image, box
    width, height = image.width / factor, image.height / factor
    if width < height:  # else rounding could make the longer side a pixel shorter
        width -= NEXT_TO_NOTHING
    else:
        height -= NEXT_TO_NOTHING
    return image.reduce(factor), (0, 0, width, height)


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT.get(orientation)
    return image if turn is None else image.transpose(turn)
