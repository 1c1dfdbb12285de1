"""The frames of animations and the pages of documents, as Pillow reads them.

The first frame is always moment 0. The others are read as far as they go, within a time limit:
some animations have thousands of frames, each of which builds on the one before.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from PIL import Image

from retrieval.decoding.colours import plain
from retrieval.decoding.exif import believed
from retrieval.decoding.formats import MOVING
from retrieval.decoding.media.choice import Look, chosen, look_at, spread
from retrieval.records import Moment, Unit

MAX_SECONDS = 10.0  # of processor time, to look at frames
MAX_LOOKS = 2_000  # frames
USUAL_SECONDS = 0.1  # a frame, if its file does not say
REDUCED, KIND = (
    0b101,
    254,
)  # smaller pictures and masks among the pages of a TIFF; its NewSubfileType


class Shape(NamedTuple):
    """What a file with several frames is."""

    unit: Unit
    frames: int


def may_have_more(image: Image.Image) -> bool:
    """Return whether an opened file may hold more than one frame or page, without a scan of it."""
    if image.format == "TIFF":
        return bool(believed(lambda: image.tag_v2.next))  # type: ignore[attr-defined]
    return image.format == "GIF" or (image.format in MOVING and getattr(image, "n_frames", 1) > 1)


def shape_of(image: Image.Image) -> Shape | None:
    """Return what a file holds; None for one picture. It may scan the file, to a damaged place."""
    if not may_have_more(image):
        return None
    try:
        count = int(getattr(image, "n_frames", 1))
    except Exception:  # its end is damaged; Pillow may raise anything
        count = MAX_LOOKS
    if count < 2:
        return None
    return Shape("page" if image.format == "TIFF" else "frame", count)


def moments_of(image: Image.Image, shape: Shape, most: int, max_pixels: int) -> list[Moment]:
    """Return the moments that are worth a vector. The picture is left at any frame."""
    if most < 2:
        places = [0]
    elif shape.unit == "page":
        places = spread(list(_pages(image, shape, max_pixels)), most)
    else:
        looks = list(_looks(image, shape, max_pixels))
        places = [int(looks[row].position) for row in chosen(looks, most, keeps_first=True)]
    return [Moment(number, shape.unit, float(place)) for number, place in enumerate(places or [0])]


def _pages(image: Image.Image, shape: Shape, max_pixels: int) -> Iterator[int]:
    """Yield the pages that are pictures of their own and not empty; the first one always."""
    yield 0
    for look in _looks(image, shape, max_pixels):
        tags = getattr(image, "tag_v2", {})
        if look.position and not look.is_flat and not int(tags.get(KIND, 0)) & REDUCED:
            yield int(look.position)


def _looks(image: Image.Image, shape: Shape, max_pixels: int) -> Iterator[Look]:
    """Look at the frames in order, as far as they can be read."""
    ends, at = time.thread_time() + MAX_SECONDS, 0.0
    for place in _sought(shape):
        if time.thread_time() > ends:
            return
        try:
            image.seek(place)
            if image.width * image.height > max_pixels:
                continue
            yield look_at(plain(image), place, at)
        except MemoryError:
            raise
        except Exception:  # Pillow may raise anything for a damaged frame
            return
        at += _seconds(image)


def _sought(shape: Shape) -> Sequence[int]:
    """Return the frames to look at. Pages are independent; of too many, some are looked at."""
    if shape.unit == "page":
        return spread(range(shape.frames), MAX_LOOKS)
    return range(min(shape.frames, MAX_LOOKS))


def _seconds(image: Image.Image) -> float:
    """Return how long the current frame is shown."""
    with suppress(TypeError, ValueError):
        said = float(image.info.get("duration", 0)) / 1000
        if said > 0:
            return said
    return USUAL_SECONDS
