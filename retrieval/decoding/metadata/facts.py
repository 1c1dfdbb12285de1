"""The facts of an opened picture: date, place, rating and texts, the most trusted source first.

As in exif.py, each fact is read by itself, and no picture fails because of its metadata.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from retrieval.decoding.exif import (
    EXIF_IFD,
    GPS_IFD,
    Tags,
    base_tags,
    believed,
    folder,
    named,
    shot_of,
    text_of,
)
from retrieval.decoding.metadata import iptc
from retrieval.decoding.metadata.dates import spoken, written
from retrieval.decoding.metadata.xmp import UTF_16, Xmp
from retrieval.records import Facts, Shot, TakenFrom, TextKind, Wording

ORIGINAL, ORIGINAL_OFFSET = 0x9003, 0x9011
DIGITIZED, DIGITIZED_OFFSET = 0x9004, 0x9012
MODIFIED, MODIFIED_OFFSET = 0x0132, 0x9010
GPS_CLOCK, GPS_DATE = 7, 29
DESCRIPTION, USER_COMMENT, RATING = 0x010E, 0x9286, 0x4746
XMP_TAG = 700  # of TIFF
WINDOWS: dict[int, TextKind] = {0x9C9B: "title", 0x9C9C: "caption", 0x9C9E: "keyword"}  # UTF-16

PNG_CREATED = "Creation Time"
PNG_TEXTS: dict[str, TextKind] = {"Title": "title", "Description": "caption"}
MAX_TEXT = 10_000  # characters

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
    base, details, texts = base_tags(image), folder(image, EXIF_IFD), _png_texts(image)
    xmp, records = _xmp(image, base), believed(lambda: iptc.records(image.info, base)) or []
    said = (xmp and believed(xmp.facts)) or Facts()
    dates = _dates(base, details, folder(image, GPS_IFD), texts, said, records, xmp)
    taken_from, taken_at = next((each for each in dates if each[1]), ("file", None))
    wordings = (*said.wordings, *(believed(lambda: iptc.wordings(records)) or ()))
    order = believed(lambda: image.getexif().endian) or "<"
    wordings += (*_texts(base, details, order), *_of_png(texts))
    rating = _rating(base) if said.rating is None else said.rating
    shot = shot_of(image)
    if shot.latitude is None:
        shot = shot._replace(latitude=said.latitude, longitude=said.longitude)
    if shot.camera is None and xmp:
        shot = shot._replace(camera=named(*xmp.camera()))
    facts = Facts(taken_at, taken_from, shot.latitude, shot.longitude, rating, wordings)
    return facts, shot


def _dates(
    base: Tags,
    details: Tags,
    gps: Tags,
    texts: Mapping[str, str],
    said: Facts,
    records: iptc.Records,
    xmp: Xmp | None,
) -> Iterator[Dated]:
    # TIFF/EP and some programs keep dates in the first IFD.
    yield "original", _date(details, ORIGINAL, ORIGINAL_OFFSET) or _date(base, ORIGINAL, 0)
    yield "digitized", _date(details, DIGITIZED, DIGITIZED_OFFSET) or _date(base, DIGITIZED, 0)
    yield "gps", believed(lambda: _of_satellites(gps))
    yield "xmp", said.taken_at
    yield "iptc", believed(lambda: iptc.date_of(records))
    yield "digitized", believed(lambda: spoken(texts.get(PNG_CREATED)))
    yield "modified", _date(base, MODIFIED, MODIFIED_OFFSET) or _date(details, MODIFIED, 0)
    yield "modified", xmp.changed_at() if xmp else None


def _date(tags: Tags, tag: int, offset: int) -> datetime | None:
    return believed(lambda: written(text_of(tags.get(tag)), text_of(tags.get(offset))))


def _of_satellites(gps: Tags) -> datetime | None:
    """Return the time of GPS, which is UTC: "2023:06:01", and hours, minutes and seconds."""
    hour, minute, second = (int(float(part)) for part in gps[GPS_CLOCK])
    day = written(gps[GPS_DATE])
    return day and day.replace(hour=hour, minute=minute, second=min(second, 59), tzinfo=UTC)


def _xmp(image: Image.Image, base: Tags) -> Xmp | None:
    held: Any = believed(lambda: image.info.get("xmp")) or base.get(XMP_TAG)
    if not isinstance(held, (bytes, str)) or not held:
        return None
    return believed(lambda: Xmp(held))


def _png_texts(image: Image.Image) -> Mapping[str, str]:
    """Return the texts of a PNG, some of which may follow the pixels."""
    if not isinstance(image, PngImageFile):
        return {}
    return believed(lambda: image.text) or {}


def _of_png(texts: Mapping[str, str]) -> Iterator[Wording]:
    for name, kind in PNG_TEXTS.items():
        if said := texts.get(name, "").strip():
            yield Wording(kind, said[:MAX_TEXT], "png")


def _rating(base: Tags) -> int | None:
    said = base.get(RATING)
    return said if isinstance(said, int) and 0 <= said <= 5 else None


def _texts(base: Tags, details: Tags, order: str) -> Iterator[Wording]:
    said = text_of(base.get(DESCRIPTION))
    if said and said.strip() and not said.strip().lower().startswith(OF_CAMERAS):
        yield Wording("caption", said.strip()[:MAX_TEXT], "exif")
    if comment := believed(lambda: _comment(details.get(USER_COMMENT), order)):
        yield Wording("caption", comment[:MAX_TEXT], "exif")
    for tag, kind in WINDOWS.items():
        if isinstance(held := base.get(tag), (bytes, tuple)):
            text = bytes(held).decode("utf-16-le", "replace").partition("\0")[0].strip()
            parts = text.split(";") if kind == "keyword" else [text]
            yield from (Wording(kind, part.strip(), "exif") for part in parts if part.strip())


def _comment(held: object, order: str) -> str | None:
    """Return EXIF's comment, whose first eight bytes name its encoding.

    order: of the bytes of EXIF, "<" or ">".
    """
    if not isinstance(held, bytes) or not held[8:].strip(b"\0 "):
        return None
    code, text = held[:8], held[8:]
    if code.startswith(b"UNICODE"):
        either = [text.decode(name, "replace") for name in _utf_16(text, order)]
    elif code.startswith(b"JIS"):
        either = [text.rstrip(b"\0").decode("iso2022_jp")]
    elif code.startswith(b"ASCII") or not code.strip(b"\0"):
        either = [text_of(text) or ""]
    else:
        return None
    stripped = (said.strip("\ufeff\0 \r\n\t") for said in either)
    return next((said for said in stripped if "".join(said.split()).isprintable()), None)


def _utf_16(text: bytes, order: str) -> tuple[str, ...]:
    """Return how a text may be encoded, the likeliest first: by its mark, by the zeros of Latin
    letters, as its file is.
    """
    if text[:2] in UTF_16:
        return ("utf-16",)
    zeros = text[::2].count(0) - text[1::2].count(0)  # of higher bytes, if these come first
    is_big = zeros > 0 or (not zeros and order == ">")
    return ("utf-16-be", "utf-16-le")[:: 1 if is_big else -1]
