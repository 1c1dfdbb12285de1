"""The boxes of ISO base media files (ISO/IEC 14496-12), and HEIF's items (ISO/IEC 23008-12).

A box is its length in four bytes, a type of four letters, and a body. The box `meta` of a HEIC or
AVIF file describes items: pictures, tiles, EXIF. `pitm` names the one to show, `iref` says which is
a thumbnail of which, and `iprp` gives them properties: size, rotation, colours.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_BOXES = 10_000  # in a file; a picture of 200 megapixels has some thousand
FULL = 4  # bytes of version and flags, with which some boxes begin
TURNS = (b"irot", b"imir", b"clap")  # what a reader does to the pixels of an item


class Box(NamedTuple):
    type: bytes
    begin: int  # of the body
    end: int


class Property(NamedTuple):
    type: bytes
    body: bytes


@dataclass(slots=True)
class Items:
    """The items of a file."""

    primary: int | None = None
    primary_at: tuple[int, int] = (0, 0)  # where the file says so: begin and end
    thumbnails: dict[int, int] = field(default_factory=dict)  # item -> where its `thmb` is written
    properties: dict[int, list[Property]] = field(default_factory=dict)

    def of(self, item: int, *types: bytes) -> list[Property]:
        return [each for each in self.properties.get(item, ()) if each.type in types]

    def size(self, item: int) -> tuple[int, int]:
        """Return width and height before rotation; zeros if they are not said."""
        found = self.of(item, b"ispe")
        if not found or len(found[0].body) < 12:
            return 0, 0
        body = found[0].body
        return int.from_bytes(body[4:8]), int.from_bytes(body[8:12])


def boxes(data: bytes, begin: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes in a part of a file, up to one that does not fit."""
    end = len(data) if end is None else end
    for _ in range(MAX_BOXES):
        if begin + 8 > end:
            return
        size, body = int.from_bytes(data[begin : begin + 4]), begin + 8
        if size == 1:  # a length of eight bytes follows
            size, body = int.from_bytes(data[body : body + 8]), begin + 16
        elif size == 0:  # to the end
            size = end - begin
        if size < body - begin or begin + size > end:
            return
        yield Box(bytes(data[begin + 4 : begin + 8]), body, begin + size)
        begin += size


def find(data: bytes, within: Box | None, type: bytes, skip: int = 0) -> Box | None:
    """Return the first box of a type in another, after `skip` bytes of its body, or in the file."""
    begin, end = (within.begin + skip, within.end) if within else (0, len(data))
    return next((box for box in boxes(data, begin, end) if box.type == type), None)


def items(data: bytes) -> Items | None:
    """Read the items of a HEIF or AVIF file; None if it has none, or they make no sense."""
    meta = find(data, None, b"meta")
    if meta is None:
        return None
    found, references = Items(), list[tuple[int, int, list[int]]]()
    for box in boxes(data, meta.begin + FULL, meta.end):
        match box.type:
            case b"pitm":
                width = 4 if _byte(data, box.begin) else 2
                begin, end = found.primary_at = box.begin + FULL, box.begin + FULL + width
                found.primary = int.from_bytes(data[begin:end])
            case b"iref":
                references = [*_thumbnails(data, box)]
            case b"iprp":
                found.properties = _properties(data, box)
    if found.primary is None:
        return None
    found.thumbnails = {item: at for item, at, of in references if found.primary in of}
    return found


def _thumbnails(data: bytes, iref: Box) -> Iterator[tuple[int, int, list[int]]]:
    """Yield (item, where its reference's type is written, the items it is a thumbnail of)."""
    width = 4 if _byte(data, iref.begin) else 2
    for box in boxes(data, iref.begin + FULL, iref.end):
        if box.type != b"thmb":
            continue
        item = int.from_bytes(data[box.begin : box.begin + width])
        first = box.begin + width + 2
        count = int.from_bytes(data[first - 2 : first])
        ends = range(first + width, min(first + width * count, box.end) + 1, width)
        yield item, box.begin - 4, [int.from_bytes(data[end - width : end]) for end in ends]


def _properties(data: bytes, iprp: Box) -> dict[int, list[Property]]:
    container = find(data, iprp, b"ipco")
    if container is None:
        return {}
    held = [
        Property(box.type, bytes(data[box.begin : box.end]))
        for box in boxes(data, container.begin, container.end)
    ]
    properties: dict[int, list[Property]] = {}
    for box in boxes(data, iprp.begin, iprp.end):
        if box.type == b"ipma":
            for item, index in _associations(data, box):
                if 0 < index <= len(held):
                    properties.setdefault(item, []).append(held[index - 1])
    return properties


def _associations(data: bytes, ipma: Box) -> Iterator[tuple[int, int]]:
    """Yield (item, number of a property, from 1), in order."""
    item_bytes = 4 if _byte(data, ipma.begin) else 2
    index_bytes = 2 if _byte(data, ipma.begin + 3) & 1 else 1
    mask = (1 << (8 * index_bytes - 1)) - 1  # the highest bit says that it is essential
    at = ipma.begin + FULL + 4
    while at + item_bytes < ipma.end:
        item, count = int.from_bytes(data[at : at + item_bytes]), data[at + item_bytes]
        at += item_bytes + 1
        for _ in range(min(count, (ipma.end - at) // index_bytes)):
            yield item, int.from_bytes(data[at : at + index_bytes]) & mask
            at += index_bytes


def _byte(data: bytes, at: int) -> int:
    """Return a byte, 0 behind the end of the file."""
    return int.from_bytes(data[at : at + 1])


# -- the small picture ---------------------------------------------------------------------------


class SmallPicture(NamedTuple):
    """A thumbnail item of the picture to show."""

    item: int
    size: tuple[int, int]  # width and height, before rotation
    of_size: tuple[int, int]  # of the picture to show, likewise


def small_pictures(found: Items) -> list[SmallPicture]:
    """Return the thumbnails that are turned as the picture itself, the smallest first."""
    primary = found.primary
    assert primary is not None
    turns, size = found.of(primary, *TURNS), found.size(primary)
    small = [
        SmallPicture(item, found.size(item), size)
        for item in found.thumbnails
        if found.of(item, *TURNS) == turns
    ]
    return sorted(small, key=lambda each: each.size)


def showing(data: bytes, found: Items, item: int) -> bytes:
    """Return a copy of a file whose picture to show is this thumbnail."""
    copy = bytearray(data)
    begin, end = found.primary_at
    copy[begin:end] = item.to_bytes(end - begin)
    at = found.thumbnails[item]
    copy[at : at + 4] = b"free"  # a thumbnail of nothing: else it is not shown by itself
    return bytes(copy)
