"""Opening of a file's bytes as a picture, and what Pillow does not say of it: colours, XMP."""

import io
import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from retrieval.decoding.exif import EXIF_IFD, folder, one_line
from retrieval.decoding.formats import COMMON, pillow_formats
from retrieval.decoding.kinds.refusal import refused
from retrieval.decoding.plugins import boxes
from retrieval.decoding.profiles import ADOBE_RGB, BT_709, Meaning, meant
from retrieval.errors import FailureCode, UnreadablePicture

COLOR_SPACE, INTEROPERABILITY, R03 = 0xA001, 0xA005, b"R03\0"
DEPTH_AT = 24  # where a PNG says how many bits a sample has
USUAL_GAMMA = (0.44, 0.47)  # PNG's gAMA for sRGB is 0.45455
XMP_OF_GIF, AFTER_XMP = b"\x21\xff\x0bXMP DataXMP", b"\x01\xff\xfe\xfd"
XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # of its box in JPEG 2000
END_OF_JPEG = b"\xff\xd9"
MARKER, MAX_SEGMENT = re.compile(rb"\xff[\xc0-\xcf\xda-\xfe]"), 65_540  # of tables and headers
PNG, END_OF_PNG = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB\x60\x82"
ENDS_EARLY = "truncated"  # what Pillow's errors about it say
MAX_MISSING = 0.5  # of the rows of a picture that ends too early
MAX_SMEAR = 0.2  # of the bytes of a WebP that does
GREY = 128  # of the rows that are missing
GREYS: dict[str, int | tuple[int, ...]] = {
    "RGB": (GREY, GREY, GREY),
    "RGBA": (GREY, GREY, GREY, 255),
    "LA": (GREY, 255),
    "I;16": 257 * GREY,
    "I;16B": 257 * GREY,
}
NEAR_GREY = 2
STRIPE = 1 << 20  # pixels looked at at a time
COLOUR_BY_COLOUR = {"SGI"}  # of which a whole colour may be missing


def opened(data: bytes) -> ImageFile.ImageFile:
    """Open a picture, with `info["meaning"]` if its file says in numbers what its colours are.

    Raises UnreadablePicture, and whatever else Pillow raises.
    """
    if not data:
        raise UnreadablePicture("the file is empty", FailureCode.EMPTY)
    try:
        image = Image.open(io.BytesIO(data), formats=COMMON)
    except UnidentifiedImageError:
        try:
            image = Image.open(io.BytesIO(data), formats=pillow_formats())
        except UnidentifiedImageError:
            raise refused(data) from None
    if read := MEANINGS.get(image.format or ""):
        read(image, data)
    return image


# -- colours in numbers, and XMP -------------------------------------------------------------------


def _jpeg(image: Image.Image, _: bytes) -> None:
    """Cameras say Adobe RGB in EXIF alone: an unusual space, and names by the rule R03 (DCF)."""
    if "icc_profile" in image.info or R03 not in image.info.get("exif", b""):
        return
    is_unusual = folder(image, EXIF_IFD).get(COLOR_SPACE) in (2, 0xFFFF)
    if is_unusual and one_line(folder(image, INTEROPERABILITY), 1) == "R03":
        image.info["meaning"] = ADOBE_RGB


def _png(image: Image.Image, data: bytes) -> None:
    info = image.info
    bits, clear = data[DEPTH_AT], info.get("transparency")
    if image.mode == "L" and bits < 8 and isinstance(clear, int):
        info["transparency"] = clear * 255 // ((1 << bits) - 1)  # as Pillow scales the pixels
    if numbers := _cicp(data):
        info.pop("icc_profile", None)
        info["meaning"] = meant(*numbers)
    elif "icc_profile" not in info and "srgb" not in info and "gamma" in info:
        gamma = info["gamma"]
        is_usual = USUAL_GAMMA[0] < gamma < USUAL_GAMMA[1]
        said = _chromaticities(info.get("chromaticity"))
        if gamma > 0 and not (is_usual and said == BT_709):
            info["meaning"] = Meaning(said, gamma=None if is_usual else 1 / gamma)


def _cicp(data: bytes) -> tuple[int, int] | None:
    """Return primaries and transfer from a PNG's chunk `cICP`, which precedes the pixels."""
    at = 8
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"cICP" and size == 4:
            return data[at + 8], data[at + 9]
        if kind == b"IDAT":
            return None
        at += 12 + size
    return None


def _chromaticities(said: object) -> tuple[tuple[float, float], ...]:
    """Return PNG's `cHRM`, which has white first, or sRGB's if it is missing or near to them."""
    if not isinstance(said, tuple) or len(said) != 8 or min(said[1::2]) <= 0:
        return BT_709
    white, *colours = zip(said[::2], said[1::2], strict=True)
    found = (*colours, white)
    off = np.abs(np.array(found) - np.array(BT_709)).max()
    return BT_709 if off < 0.005 else found


def _avif(image: Image.Image, data: bytes) -> None:
    found = boxes.items(data)
    if found is None or found.primary is None or "icc_profile" in image.info:
        return
    for each in found.of(found.primary, b"colr"):
        if each.body[:4] == b"nclx" and len(each.body) >= 8:
            numbers = int.from_bytes(each.body[4:6]), int.from_bytes(each.body[6:8])
            image.info["meaning"] = meant(*numbers)


def _jpeg2000(image: Image.Image, data: bytes) -> None:
    """Take the profile from the box of its colours, and XMP, which Pillow leaves there."""
    for box in boxes.boxes(data):
        if box.type == b"uuid" and data[box.begin : box.begin + len(XMP_UUID)] == XMP_UUID:
            image.info["xmp"] = data[box.begin + len(XMP_UUID) : box.end]
    header = boxes.find(data, None, b"jp2h")
    colours = boxes.find(data, header, b"colr") if header else None
    is_by_profile = colours and data[colours.begin : colours.begin + 1] == b"\2"  # else: a number
    if colours and is_by_profile:
        image.info["icc_profile"] = data[colours.begin + 3 : colours.end]


def _gif(image: Image.Image, data: bytes) -> None:
    """Take XMP from its extension, which Pillow passes over; a trailer of 258 bytes follows."""
    begin = data.find(XMP_OF_GIF)
    end = data.find(AFTER_XMP, begin)
    if 0 <= begin < end:
        image.info["xmp"] = data[begin + len(XMP_OF_GIF) : end]


def _heif(image: Image.Image, data: bytes) -> None:
    said = image.info.get("nclx_profile")
    if isinstance(said, dict) and "icc_profile" not in image.info:
        numbers = (said.get(name, 1) for name in ("color_primaries", "transfer_characteristics"))
        image.info["meaning"] = meant(*map(int, numbers))


MEANINGS: dict[str, Callable[[Image.Image, bytes], None]] = {
    "JPEG": _jpeg,
    "MPO": _jpeg,
    "PNG": _png,
    "AVIF": _avif,
    "GIF": _gif,
    "HEIF": _heif,
    "JPEG2000": _jpeg2000,
}


# -- files that end too early --------------------------------------------------------------------


def mended(data: bytes, error: OSError) -> bytes | None:
    """Return the bytes of a picture that is to be read as far as it goes; None if its end is not
    what is wrong. A JPEG gets its end, and its decoder fills in the rows that are missing; a WebP
    gets zeros, of which its decoder makes a smear.
    """
    if data.startswith(b"\xff\xd8"):
        return None if data.endswith(END_OF_JPEG) else _to_last_marker(data) + END_OF_JPEG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        size = int.from_bytes(data[4:8], "little") + 8
        lacking = size - len(data)
        return data + bytes(lacking) if 0 < lacking <= MAX_SMEAR * size else None
    return data if ENDS_EARLY in str(error).lower() else None


def _to_last_marker(data: bytes) -> bytes:
    """Return a JPEG without a table or header at its end that is cut itself: progressive ones have
    several.
    """
    tail = max(0, len(data) - MAX_SEGMENT)
    for found in [*MARKER.finditer(data, tail)][-1:]:
        at = found.start()
        if at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4])) > len(data):
            return data[:at]
    return data.removesuffix(b"\xff")


def lacks_its_end(data: bytes) -> bool:
    """Return whether a file ends too early, though perhaps no pixel is missing."""
    return data.startswith(PNG) and data.rfind(END_OF_PNG) < 0


def load_what_is_there(image: ImageFile.ImageFile) -> float:
    """Load a picture whose file ends too early, and return the fraction of rows that are missing at
    its end or beginning, which are grey. Raises OSError.
    """
    grey, is_woven = GREYS.get(image.mode, GREY), _is_woven(image)
    image.im = Image.new(image.mode, image.size, grey).im  # decoders write over it, row by row
    try:
        image.load()
    except OSError as error:
        if ENDS_EARLY not in str(error).lower() or image.format in COLOUR_BY_COLOUR:
            raise
        image.tile = []  # nothing is left to load
    present = np.flatnonzero(_has_pixels(image, grey))  # rows
    if not len(present):
        return 1.0
    if is_woven:  # a row that is missing between others is as the one above it, as browsers do
        wanted = np.arange(image.height).clip(present[0], present[-1])
        rows = np.asarray(image)[present[np.searchsorted(present, wanted, "right") - 1]]
        image.im = Image.frombytes(image.mode, image.size, rows.tobytes()).im
        if image.palette:
            image.palette.dirty = 1
    return 1.0 - (int(present[-1]) + 1 - int(present[0])) / image.height


def _has_pixels(image: Image.Image, grey: int | tuple[int, ...]) -> NDArray[np.bool_]:
    """Return for each row whether it is anything but grey, (H,)."""
    filled = np.asarray(Image.new(image.mode, (1, 1), grey)).astype(np.int32).reshape(-1)
    found, rows = np.zeros(image.height, bool), max(1, STRIPE // image.width)
    for top in range(0, image.height, rows):  # not all at once, which takes gigabytes
        bottom = min(top + rows, image.height)
        pixels = np.asarray(image.crop((0, top, image.width, bottom)))
        off = np.abs(pixels.reshape(bottom - top, image.width, -1) - filled)
        found[top:bottom] = (off > NEAR_GREY).any(axis=(1, 2))
    return found


def _is_woven(image: ImageFile.ImageFile) -> bool:
    """Return whether the rows of a picture are interlaced."""
    if image.format == "GIF":
        return bool(image.tile and image.tile[0].args[1])  # type: ignore[index]
    return bool(image.info.get("interlace"))
