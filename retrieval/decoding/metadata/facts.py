"""The facts of an opened picture: date, place, rating and texts, the most trusted source first.

As in exif.py, each fact is read by itself, and no picture fails because of its metadata.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from retrieval.decoding.exif import (
    EXIF_IFD,
    GPS_IFD,
    Tags,
    base_tags,
    believed,
    folder,
    shot_of,
    text_of,
)
from retrieval.decoding.metadata import iptc
from retrieval.decoding.metadata.dates import written
from retrieval.decoding.metadata.xmp import facts_of_xmp
from retrieval.records import Facts, Shot, TakenFrom, TextKind, Wording

ORIGINAL, ORIGINAL_OFFSET = 0x9003, 0x9011
DIGITIZED, DIGITIZED_OFFSET = 0x9004, 0x9012
MODIFIED, MODIFIED_OFFSET = 0x0132, 0x9010
GPS_CLOCK, GPS_DATE = 7, 29
DESCRIPTION, USER_COMMENT, RATING = 0x010E, 0x9286, 0x4746
XMP_TAG = 700  # of TIFF
WINDOWS: dict[int, TextKind] = {0x9C9B: "title", 0x9C9C: "caption", 0x9C9E: "keyword"}  # UTF-16

# What cameras write into every picture's description.
OF_CAMERAS = (
    "olympus digital camera",
    "sony dsc",
    "dcim",
    "dav",
    "minolta digital camera",
    "default",
)

Dated = tuple[TakenFrom, datetime | None]


def read_metadata(image: Image.Image) -> tuple[Facts, Shot]:
    """Return the facts of a picture that Pillow has open, and its shot."""
    base, details = base_tags(image), folder(image, EXIF_IFD)
    xmp, records = _xmp(image, base), believed(lambda: iptc.records(image.info)) or []
    dates = _dates(base, details, folder(image, GPS_IFD), xmp, records)
    taken_from, taken_at = next((each for each in dates if each[1]), ("file", None))
    wordings = (*xmp.wordings, *(believed(lambda: iptc.wordings(records)) or ()))
    wordings += tuple(_texts(base, details))
    rating = _rating(base) if xmp.rating is None else xmp.rating
    shot = shot_of(image)
    if shot.latitude is None:
        shot = replace(shot, latitude=xmp.latitude, longitude=xmp.longitude)
    facts = Facts(taken_at, taken_from, shot.latitude, shot.longitude, rating, wordings)
    return facts, shot


def _dates(
    base: Tags, details: Tags, gps: Tags, xmp: Facts, records: iptc.Records
) -> Iterator[Dated]:
    yield "original", _date(details, ORIGINAL, ORIGINAL_OFFSET)
    yield "digitized", _date(details, DIGITIZED, DIGITIZED_OFFSET)
    yield "gps", believed(lambda: _of_satellites(gps))
    yield "xmp", xmp.taken_at
    yield "iptc", believed(lambda: iptc.date_of(records))
    yield "modified", _date(base, MODIFIED, MODIFIED_OFFSET) or _date(details, MODIFIED, 0)


def _date(tags: Tags, tag: int, offset: int) -> datetime | None:
    return believed(lambda: written(tags.get(tag), tags.get(offset)))


def _of_satellites(gps: Tags) -> datetime | None:
    """Return the time of GPS, which is UTC: "2023:06:01", and hours, minutes and seconds."""
    hour, minute, second = (int(float(part)) for part in gps[GPS_CLOCK])
    day = written(gps[GPS_DATE])
    return day and day.replace(hour=hour, minute=minute, second=min(second, 59), tzinfo=UTC)


def _xmp(image: Image.Image, base: Tags) -> Facts:
    held: Any = believed(lambda: image.info.get("xmp")) or base.get(XMP_TAG)
    if not isinstance(held, (bytes, str)) or not held:
        return Facts()
    return believed(lambda: facts_of_xmp(held)) or Facts()


def _rating(base: Tags) -> int | None:
    said = base.get(RATING)
    return said if isinstance(said, int) and 0 <= said <= 5 else None


def _texts(base: Tags, details: Tags) -> Iterator[Wording]:
    said = text_of(base.get(DESCRIPTION))
    if said and said.strip() and not said.strip().lower().startswith(OF_CAMERAS):
        yield Wording("caption", said.strip()[:10_000], "exif")
    if comment := believed(lambda: _comment(details.get(USER_COMMENT))):
        yield Wording("caption", comment, "exif")
    for tag, kind in WINDOWS.items():
        if isinstance(held := base.get(tag), (bytes, tuple)):
            text = bytes(held).decode("utf-16-le", "replace").partition("\0")[0].strip()
            parts = text.split(";") if kind == "keyword" else [text]
            yield from (Wording(kind, part.strip(), "exif") for part in parts if part.strip())


def _comment(held: object) -> str | None:
    """Return EXIF's comment, whose first eight bytes name its encoding."""
    if not isinstance(held, bytes) or not held[8:].strip(b"\0 "):
        return None
    code, text = held[:8], held[8:]
    if code.startswith(b"UNICODE"):
        is_big = text[:2] == b"\xfe\xff" or text[:1] == b"\0"
        return text.decode("utf-16-be" if is_big else "utf-16-le").strip("\ufeff\0 ") or None
    if code.startswith(b"ASCII") or not code.strip(b"\0"):
        said = text_of(text)
        return said.strip() if said and said.isprintable() else None
    return None
