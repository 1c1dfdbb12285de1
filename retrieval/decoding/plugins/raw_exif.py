"""What is in a raw camera file besides pixels: whether it is one at all, and its EXIF."""

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from PIL import Image

from retrieval.decoding.exif import EXIF_IFD, GPS_IFD
from retrieval.decoding.plugins import boxes

TIFF = {b"II*\0": "<", b"MM\0*": ">"}
LIKE_TIFF = {b"IIRO": "<", b"IIRS": "<", b"MMOR": ">", b"IIU\0": "<"}  # Olympus, Panasonic
FUJI, MINOLTA, SIGMA, CANON = b"FUJIFILMCCD-RAW", b"\0MRM", b"FOVb", b"HEAPCCDR"
CANON_3, CANON_2 = b"ftypcrx ", b"CR\x02"

PHOTOMETRIC, SUB_IFDS, DNG_VERSION = 262, 330, 50706
SENSOR = (32803, 34892)  # photometric interpretations: a colour filter array; linear raw
MAX_FOLDERS = 64  # of tags in a file
MAX_TAGS = 1_000  # in a folder

FUJI_JPEG_AT = 84  # where a RAF says where its JPEG is: offset and length
CMT = (b"CMT1", b"CMT2", b"CMT4")  # CR3's boxes: the main tags, EXIF's, and GPS


class Tag(NamedTuple):
    number: int
    values: tuple[int, ...]  # of whole numbers; empty for other types, and if they are far too many


def may_be_raw(prefix: bytes) -> bool:
    """Return whether a file that begins so may be a raw camera file."""
    return (
        prefix[:4] in TIFF
        or prefix[:4] in LIKE_TIFF
        or prefix.startswith((FUJI, MINOLTA, SIGMA))
        or prefix[4:12] == CANON_3
        or prefix[6:14] == CANON
    )


def is_raw(data: bytes) -> bool:
    """Return whether a file holds what a sensor saw; a TIFF does if one of its pictures says so."""
    if data[:4] not in TIFF:
        return may_be_raw(data[:16])
    if data[8:11] == CANON_2:
        return True
    return any(
        tag.number == DNG_VERSION
        or (tag.number == PHOTOMETRIC and tag.values and tag.values[0] in SENSOR)
        for tag in tags(data)
    )


def tags(data: bytes) -> Iterator[Tag]:
    """Yield the tags of all pictures in a TIFF, as far as they make sense."""
    order = TIFF[data[:4]]
    waiting, seen = [_number(data, 4, order)], set[int]()
    while waiting and len(seen) < MAX_FOLDERS:
        at = waiting.pop()
        if at in seen or not 8 <= at <= len(data) - 2:
            continue
        seen.add(at)
        (count,) = struct.unpack_from(order + "H", data, at)
        for entry in range(min(count, MAX_TAGS)):
            tag = _tag(data, at + 2 + 12 * entry, order)
            if tag.number == SUB_IFDS:
                waiting += tag.values
            yield tag
        waiting.append(_number(data, at + 2 + 12 * count, order))


def _tag(data: bytes, at: int, order: str) -> Tag:
    if at + 12 > len(data):
        return Tag(0, ())
    number, kind, count = struct.unpack_from(order + "HHI", data, at)
    letter = {3: "H", 4: "I", 13: "I"}.get(kind)
    if letter is None or count > MAX_FOLDERS:
        return Tag(number, ())
    said = struct.Struct(f"{order}{count}{letter}")
    place = at + 8 if said.size <= 4 else _number(data, at + 8, order)
    if place + said.size > len(data):
        return Tag(number, ())
    return Tag(number, said.unpack_from(data, place))


def _number(data: bytes, at: int, order: str) -> int:
    return int(struct.unpack_from(order + "I", data, at)[0]) if at + 4 <= len(data) else 0


# -- EXIF ----------------------------------------------------------------------------------------


def exif_of(data: bytes) -> Image.Exif:
    """Return the EXIF of a raw file, empty if it has none that can be read."""
    exif = Image.Exif()
    with suppress(Exception):  # the tags may be anything
        if data[:4] in TIFF:
            exif.load(data)
        elif data[:4] in LIKE_TIFF:
            mark = b"*\0" if LIKE_TIFF[data[:4]] == "<" else b"\0*"
            exif.load(data[:2] + mark + data[4:])
        elif data.startswith(FUJI):
            at, size = struct.unpack_from(">II", data, FUJI_JPEG_AT)
            with Image.open(io.BytesIO(data[at : at + size]), formats=["JPEG"]) as jpeg:
                return jpeg.getexif()
        elif data[4:12] == CANON_3:
            return _canon(data)
    return exif


def _canon(data: bytes) -> Image.Exif:
    """Join the EXIF of a CR3, which is in boxes of its own."""
    exif = Image.Exif()
    holder = boxes.find(data, boxes.find(data, None, b"moov"), b"uuid")
    main, details, place = (_box_exif(data, holder, name) for name in CMT)
    exif.update(main)
    exif.get_ifd(EXIF_IFD).update(details)
    exif.get_ifd(GPS_IFD).update(place)
    return exif


def _box_exif(data: bytes, holder: boxes.Box | None, name: bytes) -> Image.Exif:
    exif = Image.Exif()
    found = boxes.find(data, holder, name, skip=16) if holder else None  # after the UUID itself
    if found:
        exif.load(data[found.begin : found.end])
    return exif
