"""EXIF: the plausible facts that a camera recorded about a picture, except dates and texts, which
metadata/facts.py reads.

Anyone can write EXIF, programs copy it without understanding it, and Pillow may raise anything. So
each fact is read by itself, an implausible one counts as missing, and no picture fails because of
its EXIF.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from retrieval.records import Shot

MAKE, MODEL, ORIENTATION, EXIF_IFD, GPS_IFD = 0x010F, 0x0110, 0x0112, 0x8769, 0x8825
EXPOSURE, APERTURE, ISO, FOCAL_LENGTH, LENS = 0x829A, 0x829D, 0x8827, 0x920A, 0xA434
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4

MAX_NAME = 100  # characters

# EXIF 3.0's type of texts in UTF-8, which Pillow leaves out: read like its type 2, ASCII.
UTF_8, ASCII = 129, 2
DISPATCH = ImageFileDirectory_v2._load_dispatch
DISPATCH.setdefault(UTF_8, DISPATCH[ASCII])

Tags = Mapping[int, Any]
Read = TypeVar("Read")


def orientation_of(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 (as stored) by default."""
    said = believed(lambda: image.getexif().get(ORIENTATION))
    return said if isinstance(said, int) else 1


def shot_of(image: Image.Image) -> Shot:
    """Return camera, place and exposure of an opened picture."""
    base = base_tags(image)
    details = folder(image, EXIF_IFD)
    latitude, longitude = _place(folder(image, GPS_IFD))
    iso = _number(details, ISO)
    return Shot(
        camera=named(base.get(MAKE), base.get(MODEL)),
        lens=one_line(details, LENS),
        latitude=latitude,
        longitude=longitude,
        exposure=_number(details, EXPOSURE),
        aperture=_number(details, APERTURE),
        iso=round(iso) if iso and iso < 1e9 else None,
        focal_length=_number(details, FOCAL_LENGTH),
    )


def believed(read: Callable[[], Read]) -> Read | None:
    """Return what `read` returns, or None if it raises anything."""
    with suppress(Exception):
        return read()
    return None


def base_tags(image: Image.Image) -> Tags:
    """Return the tags of the first IFD."""
    return believed(lambda: dict(image.getexif())) or {}


def folder(image: Image.Image, tag: int) -> Tags:
    """Return the tags of an IFD that the first one points to."""
    return believed(lambda: image.getexif().get_ifd(tag)) or {}


def named(maker: object, model: object) -> str | None:
    """Return the name of a camera by tags that may hold anything."""
    texts = text_of(maker), text_of(model)
    return camera_of(*(_one_line(text) if text else None for text in texts))


def camera_of(maker: str | None, model: str | None) -> str | None:
    """Join maker and model, unless the model already begins with the maker: "Canon EOS R5", but
    "Google" and "Pixel 7".
    """
    if maker and model and not model.lower().startswith(maker.lower().split()[0]):
        return f"{maker} {model}"
    return model or maker


def one_line(tags: Tags, tag: int) -> str | None:
    """Return a text on one line, without padding."""
    said = text_of(believed(lambda: tags.get(tag)))
    if said is None:
        return None
    return _one_line(said)


def _one_line(said: str) -> str | None:
    text = "".join(c if c.isprintable() else " " for c in said)
    return " ".join(text.split())[:MAX_NAME] or None


def text_of(said: object) -> str | None:
    """Return the text of a tag up to the first NUL. EXIF says ASCII, and programs write UTF-8."""
    if isinstance(said, str):  # Pillow has decoded it as Latin-1
        said = believed(lambda held=said: held.encode("latin-1")) or said  # type: ignore[misc]
    if isinstance(said, bytes):
        utf_8 = believed(lambda held=said: held.decode("utf-8"))  # type: ignore[misc]
        said = said.decode("latin-1") if utf_8 is None else utf_8
    return said.partition("\0")[0] if isinstance(said, str) else None


def _number(tags: Tags, tag: int) -> float | None:
    """Return a positive number, or the first of several; None for anything else."""
    said: Any = believed(lambda: tags.get(tag))
    if isinstance(said, tuple) and said:
        said = said[0]
    number = believed(lambda: float(said))
    return number if number and math.isfinite(number) and number > 0 else None


def _place(gps: Tags) -> tuple[float | None, float | None]:
    """Return degrees north and east. Programs write (0, 0), which is at sea, for an unknown
    place.
    """
    latitude = believed(lambda: _degrees(gps[LATITUDE], gps.get(LATITUDE_REF), "NS", 90))
    longitude = believed(lambda: _degrees(gps[LONGITUDE], gps.get(LONGITUDE_REF), "EW", 180))
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(parts: Any, side: object, sides: str, most: int) -> float | None:
    """Convert degrees, minutes and seconds, as many as are given, to degrees; None without a side
    ("N", "South"), as nobody knows which of two places is meant.
    """
    numbers = [float(part) for part in (parts if isinstance(parts, tuple) else (parts,))]
    degrees = sum(number / 60**place for place, number in enumerate(numbers[:3]))
    if not numbers or not math.isfinite(degrees) or min(numbers) < 0 or degrees > most:
        return None
    said = (text_of(side) or "").strip().upper()[:1]
    if not said or said not in sides:
        return None
    return float(degrees) if said == sides[0] else -float(degrees)
