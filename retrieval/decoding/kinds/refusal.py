"""Why the bytes of a file cannot be read as a picture: one true sentence."""

import os
import struct
from contextlib import suppress

from retrieval.decoding.formats import FORMATS, can_read_films, missing_extensions
from retrieval.decoding.kinds.names import Kind
from retrieval.decoding.kinds.signatures import (
    FILM_NAMES,
    HEAD_BYTES,
    Signature,
    is_read,
    signature_of,
)
from retrieval.decoding.plugins.raw_exif import tags
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.wording import counted

UNKNOWN = "it is not a picture in a format that can be read"
KINDS = {Kind.VIDEO: "a video", Kind.DRAWING: "a drawing"}
CALLED = {"HEIF": "HEIC", "JXL": "JPEG XL", "JPEG2000": "JPEG 2000"}  # Pillow's name, and people's

BITS, COMPRESSION, SAMPLES = 258, 259, 277  # tags of TIFF
SPECIAL_JPEGS = {0xC3: "a lossless JPEG", 0xC9: "a JPEG in arithmetic coding", 0xF7: "a JPEG-LS"}
COMPRESSIONS = {
    **dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000"),
    **dict.fromkeys((22610, 34934), "JPEG XR"),
    34933: "PNG",
    **dict.fromkeys((50002, 52546), "JPEG XL"),
    34661: "JBIG",
    34887: "LERC",
}


def refused(data: bytes) -> UnreadablePicture:
    """Return the error for bytes that no decoder takes for a picture."""
    found = signature_of(data[:HEAD_BYTES])
    if found is None and not data.strip(b"\0"):  # as after a crash, or a failed copy
        return UnreadablePicture("it contains nothing but zeros", FailureCode.NOT_A_PICTURE)
    if found is None:
        return UnreadablePicture(UNKNOWN, FailureCode.NOT_A_PICTURE)
    if found.kind is None or found.kind == Kind.RAW:
        return _of_picture(found, data)
    return UnreadablePicture(_of_other(found), FailureCode.NOT_A_PICTURE)


def _of_other(found: Signature) -> str:
    if found.name == "encrypted":
        return "it is not a picture that can be read: it is encrypted"
    if found.name == "text":
        return "it is not a picture but text"
    assert found.kind  # not a picture
    if found.name in FILM_NAMES and not can_read_films():
        return f"it is a video ({found.name}); to read videos: {missing_extensions()[b'.mp4']}"
    what = KINDS.get(found.kind, "another file")
    return f"it is not a picture but {what} ({found.name})"


def _of_picture(found: Signature, data: bytes) -> UnreadablePicture:
    """Return the error for a picture that its decoder refuses, or that has no decoder here."""
    name = "RAW" if found.kind == Kind.RAW else found.name
    called = f"raw ({found.name})" if found.kind == Kind.RAW else CALLED.get(name, name)
    if is_read(name):
        return UnreadablePicture(_of_variant(name, called, data))
    elif hint := _missing(name):
        said = f"reading {called} needs {hint}"
    else:
        said = f"{UNKNOWN}, but {called}"
    return UnreadablePicture(said, FailureCode.NOT_A_PICTURE)


def _of_variant(name: str, called: str, data: bytes) -> str:
    """Say why a file is not read although its format is."""
    if name == "PSD":
        channels, depth, mode = (int.from_bytes(data[at : at + 2], "big") for at in (12, 22, 24))
        form = f"{counted(channels, 'channel')} of {counted(depth, 'bit')}, color mode {mode}"
        return f"it is damaged, or a PSD of a kind that cannot be read ({form})"
    if name == "TIFF":
        return _of_tiff(data)
    if name == "JPEG" and (kind := _kind_of_jpeg(data)):
        return f"it is {kind}, which is not read"
    return f"it cannot be decoded: the {called} decoder refuses it"


def _kind_of_jpeg(data: bytes) -> str | None:
    """Return what is special about a JPEG, by the first header of a picture in it."""
    at = 2
    while at + 5 <= len(data) and data[at] == 0xFF:
        marker, bits = data[at + 1], data[at + 4]
        if called := SPECIAL_JPEGS.get(marker):
            return called
        if 0xC0 <= marker <= 0xC2:
            return f"a JPEG of {bits} bits a channel" if bits > 8 else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _of_tiff(data: bytes) -> str:
    with suppress(KeyError, IndexError, struct.error):
        first = {tag.number: tag.values for tag in reversed(list(tags(data)))}
        if called := COMPRESSIONS.get(first[COMPRESSION][0]):
            return f"it is a TIFF compressed as {called}, which is not read"
        samples, bits = (first.get(tag, (1,))[0] for tag in (SAMPLES, BITS))
        form = f"{counted(samples, 'sample')} of {counted(bits, 'bit')} a pixel"
        return f"it is damaged, or a TIFF of a kind that cannot be read ({form})"
    return "it is a TIFF of a kind that cannot be read"


def _missing(name: str) -> str | None:
    """Return how to install what reads a format, if it is a format of ours."""
    ends = (os.fsencode(each.extensions[0]) for each in FORMATS if each.name == name)
    return next((hint for end in ends if (hint := missing_extensions().get(end))), None)
