"""EXIF: the plausible facts that a camera recorded about a picture.

Anyone can write EXIF, programs copy it without understanding it, and Pillow may raise anything. So
each fact is read by itself, an implausible one counts as missing, and no picture fails because of
its EXIF.
"""

import math
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from PIL import Image

from retrieval.records import Shot

MAKE, MODEL, ORIENTATION, EXIF_IFD, GPS_IFD = 0x010F, 0x0110, 0x0112, 0x8769, 0x8825
EXPOSURE, APERTURE, ISO, FOCAL_LENGTH, LENS = 0x829A, 0x829D, 0x8827, 0x920A, 0xA434
TAKEN, TAKEN_OFFSET = 0x9003, 0x9011  # DateTimeOriginal, OffsetTimeOriginal
LATITUDE_REF, LATITUDE, LONGITUDE_REF, LONGITUDE = 1, 2, 3, 4

MAX_NAME = 100  # characters

Tags = Mapping[int, Any]
Read = TypeVar("Read")


def orientation_of(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8; 1 (as stored) by default."""
    said = _believed(lambda: image.getexif().get(ORIENTATION))
    return said if isinstance(said, int) else 1


def taken_at(image: Image.Image) -> datetime | None:
    """Return when a picture was taken: with a UTC offset if EXIF has one, else in local time."""
    details = _folder(image, EXIF_IFD)
    return _believed(lambda: _moment(details.get(TAKEN), details.get(TAKEN_OFFSET)))


def shot_of(image: Image.Image) -> Shot:
    """Return camera, place and exposure of an opened picture."""
    base: Tags = _believed(lambda: dict(image.getexif())) or {}
    details = _folder(image, EXIF_IFD)
    latitude, longitude = _place(_folder(image, GPS_IFD))
    iso = _number(details, ISO)
    return Shot(
        camera=_camera(_name(base, MAKE), _name(base, MODEL)),
        lens=_name(details, LENS),
        latitude=latitude,
        longitude=longitude,
        exposure=_number(details, EXPOSURE),
        aperture=_number(details, APERTURE),
        iso=round(iso) if iso and iso < 1e9 else None,
        focal_length=_number(details, FOCAL_LENGTH),
    )


def _believed(read: Callable[[], Read]) -> Read | None:
    with suppress(Exception):
        return read()
    return None


def _folder(image: Image.Image, tag: int) -> Tags:
    return _believed(lambda: image.getexif().get_ifd(tag)) or {}


def _moment(said: object, offset: object) -> datetime | None:
    """Read EXIF's "2023:06:01 12:34:56" and "+02:00"; without an offset it is local time."""
    found = re.match(r"\s*(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d)(?::(\d\d))?", str(said))
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    moment = datetime(year, month, day, hour, minute, second)
    zone = re.match(r"\s*([+-])(\d\d):(\d\d)", str(offset))
    if zone and int(zone[2]) < 24 and int(zone[3]) < 60:
        east = timedelta(hours=int(zone[2]), minutes=int(zone[3]))
        moment = moment.replace(tzinfo=timezone(east if zone[1] == "+" else -east))
    return moment


def _camera(maker: str | None, model: str | None) -> str | None:
    """Join maker and model, unless the model already begins with the maker: "Canon EOS R5", but
    "Google" and "Pixel 7".
    """
    if maker and model and not model.lower().startswith(maker.lower().split()[0]):
        return f"{maker} {model}"
    return model or maker


def _name(tags: Tags, tag: int) -> str | None:
    """Return a text on one line, without padding."""
    said = _believed(lambda: tags.get(tag))
    if isinstance(said, bytes):
        said = said.decode("utf-8", "replace")
    if not isinstance(said, str):
        return None
    text = "".join(c if c.isprintable() else " " for c in said.partition("\0")[0])
    return " ".join(text.split())[:MAX_NAME] or None


def _number(tags: Tags, tag: int) -> float | None:
    """Return a positive number, or the first of several; None for anything else."""
    said: Any = _believed(lambda: tags.get(tag))
    if isinstance(said, tuple) and said:
        said = said[0]
    number = _believed(lambda: float(said))
    return number if number and math.isfinite(number) and number > 0 else None


def _place(gps: Tags) -> tuple[float | None, float | None]:
    """Return degrees north and east. Programs write (0, 0), which is at sea, for an unknown
    place.
    """
    latitude = _believed(lambda: _degrees(gps[LATITUDE], gps.get(LATITUDE_REF), 90))
    longitude = _believed(lambda: _degrees(gps[LONGITUDE], gps.get(LONGITUDE_REF), 180))
    if latitude is None or longitude is None or (latitude, longitude) == (0, 0):
        return None, None
    return latitude, longitude


def _degrees(parts: Any, side: object, most: int) -> float | None:
    """Convert degrees, minutes and seconds, as many as are given, to degrees."""
    numbers = [float(part) for part in parts]
    degrees = sum(number / 60**place for place, number in enumerate(numbers[:3]))
    if not numbers or not math.isfinite(degrees) or min(numbers) < 0 or degrees > most:
        return None
    said = side.decode("ascii", "replace") if isinstance(side, bytes) else str(side)
    return -degrees if said.strip("\0 ").upper() in ("S", "W") else float(degrees)
