"""IPTC-IIM: the older records of captions, keywords and dates, in JPEG, TIFF and PSD."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from retrieval.decoding.metadata.dates import written
from retrieval.records import TextKind, Wording

BLOCK = 0x0404  # of Photoshop's image resources, in which JPEG and PSD keep them
TIFF_TAG = 33723  # in which TIFF does
# When the content was created, and when it was digitized: days and times.
DATES = (((2, 55), (2, 60)), ((2, 62), (2, 63)))
TEXTS: Mapping[tuple[int, int], TextKind] = {
    (2, 5): "title",
    (2, 105): "title",
    (2, 120): "caption",
    (2, 25): "keyword",
}
MAX_TEXTS = 200
MARK = b"\x1c"  # with which each record begins
ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")

Records = list[tuple[tuple[int, int], bytes]]


def records(info: Mapping[Any, Any], tags: Mapping[int, Any]) -> Records:
    """Return the records of a picture that Pillow has open, by its `info` and the first IFD."""
    blocks = info.get("photoshop")
    held = blocks.get(BLOCK) if isinstance(blocks, Mapping) else None
    held = held or tags.get(TIFF_TAG)
    if isinstance(held, tuple):  # some programs say that the bytes are numbers of 32 bits
        either = [b"".join(each.to_bytes(4, order) for each in held) for order in ORDERS]
        held = next((each for each in either if each[:1] == MARK), None)
    return list(_parsed(held)) if isinstance(held, bytes) else []


def date_of(held: Records) -> datetime | None:
    """Return the date of the content: "20230601", and "123456+0200"."""
    values = dict(held)
    for day, clock in DATES:
        at, when = (values.get(tag, b"").decode("ascii", "replace").strip() for tag in (day, clock))
        if found := written(f"{at} {when}") or written(at):
            return found
    return None


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
    while at + 5 <= len(data) and data[at : at + 1] == MARK:
        record, number = data[at + 1], data[at + 2]
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        at += 5
        if size & 0x8000:  # the length follows, in so many bytes
            width = size & 0x7FFF
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        yield (record, number), data[at : at + size]
        at += size
