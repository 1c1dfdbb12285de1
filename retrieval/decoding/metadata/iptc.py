"""IPTC-IIM: the older records of captions, keywords and dates, in JPEG and TIFF."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from retrieval.decoding.metadata.dates import written
from retrieval.records import TextKind, Wording

BLOCK = 0x0404  # of Photoshop's image resources, in which a JPEG keeps them
CODED_CHARACTER_SET, UTF_8 = (1, 90), b"\x1b%G"
DATE, TIME = (2, 55), (2, 60)
TEXTS: Mapping[tuple[int, int], TextKind] = {
    (2, 5): "title",
    (2, 105): "title",
    (2, 120): "caption",
    (2, 25): "keyword",
}
MAX_TEXTS = 200

Records = list[tuple[tuple[int, int], bytes]]


def records(info: Mapping[Any, Any]) -> Records:
    """Return the records of a picture that Pillow has open, by its `info`."""
    blocks = info.get("photoshop")
    held = blocks.get(BLOCK) if isinstance(blocks, Mapping) else None
    return list(_parsed(held)) if isinstance(held, bytes) else []


def date_of(held: Records) -> datetime | None:
    """Return the date on which the content was created: "20230601", and "123456+0200"."""
    values = dict(held)
    day, clock = (values.get(at, b"").decode("ascii", "replace").strip() for at in (DATE, TIME))
    if len(day) != 8 or not day.isdigit():
        return None
    said = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if len(clock) >= 6 and clock[:6].isdigit():
        said += f"T{clock[:2]}:{clock[2:4]}:{clock[4:6]}"
    return written(said, clock[6:])


def wordings(held: Records) -> tuple[Wording, ...]:
    """Return titles, captions and keywords."""
    said = (
        Wording(TEXTS[at], text, "iptc")
        for at, value in held
        if at in TEXTS and (text := _text(value))
    )
    return tuple(dict.fromkeys(said))[:MAX_TEXTS]


def _text(value: bytes) -> str:
    """Decode UTF-8, which most programs write whether they say so or not, else Latin-1."""
    try:
        said = value.decode("utf-8")
    except UnicodeDecodeError:
        said = value.decode("latin-1")
    return said.strip("\0 \r\n\t")


def _parsed(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    at = 0
    while at + 5 <= len(data) and data[at] == 0x1C:
        record, number = data[at + 1], data[at + 2]
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        at += 5
        if size & 0x8000:  # the length follows, in so many bytes
            width = size & 0x7FFF
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        yield (record, number), data[at : at + size]
        at += size
