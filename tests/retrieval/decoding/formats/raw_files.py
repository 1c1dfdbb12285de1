"""Raw camera files to test with: DNGs made by hand, as small as LibRaw takes them."""

import io
import struct

import numpy as np
from PIL import Image

SHORT, LONG, ASCII, RATIONAL, BYTE, SRATIONAL = 3, 4, 2, 5, 1, 10
LETTERS = {SHORT: "H", LONG: "I", BYTE: "B"}
MADE, MODEL, TAKEN = "Maker", "Camera 1", "2022:05:06 07:08:09"

Tags = dict[int, tuple[int, object]]


def dng(
    picture: Image.Image,
    *,
    preview: tuple[int, int] | None = None,
    orientation: int = 1,
    preview_colour: str | None = None,
) -> bytes:
    """A DNG of what a sensor with a filter array sees of a picture; with a JPEG of that size."""
    colours = np.asarray(picture.convert("RGB"), np.float64) / 255
    light = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    sensor = light[..., 1].copy()
    sensor[0::2, 0::2], sensor[1::2, 1::2] = light[0::2, 0::2, 0], light[1::2, 1::2, 2]
    samples = (sensor * 65535).astype("<u2").tobytes()
    stored = picture.resize(preview or (16, 12))
    if preview_colour:
        stored.paste(preview_colour, (0, 0, *stored.size))
    jpeg = io.BytesIO()
    stored.save(jpeg, "JPEG", quality=95)
    return _file(
        picture.size, samples, stored.size, jpeg.getvalue() if preview else b"", orientation
    )


def _file(
    size: tuple[int, int], samples: bytes, small: tuple[int, int], jpeg: bytes, orientation: int
) -> bytes:
    at = 4096  # the pixels; the folders of tags come before them
    exif: Tags = {0x9003: (ASCII, TAKEN), 0x829A: (RATIONAL, [(1, 250)])}
    raw: Tags = {
        254: (LONG, [0]),
        256: (LONG, [size[0]]),
        257: (LONG, [size[1]]),
        258: (SHORT, [16]),
        259: (SHORT, [1]),
        262: (SHORT, [32803]),  # a colour filter array
        273: (LONG, [at]),
        277: (SHORT, [1]),
        278: (LONG, [size[1]]),
        279: (LONG, [len(samples)]),
        33421: (SHORT, [2, 2]),
        33422: (BYTE, [0, 1, 1, 2]),  # red green, green blue
        50717: (LONG, [65535]),  # white
    }
    # Of sRGB's primaries: XYZ (D65) -> the sensor's red, green and blue.
    matrix = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)
    main: Tags = {
        254: (LONG, [1]),
        271: (ASCII, MADE),
        272: (ASCII, MODEL),
        274: (SHORT, [orientation]),
        330: (LONG, [2048]),
        34665: (LONG, [3072]),
        50706: (BYTE, [1, 4, 0, 0]),
        50721: (SRATIONAL, [(value, 10000) for value in matrix]),
        50728: (RATIONAL, [(1, 1)] * 3),  # neutral as shot
        50778: (SHORT, [21]),  # D65
    }
    if jpeg:
        main |= {
            256: (LONG, [small[0]]),
            257: (LONG, [small[1]]),
            258: (SHORT, [8, 8, 8]),
            259: (SHORT, [7]),
            262: (SHORT, [6]),
            273: (LONG, [at + len(samples)]),
            277: (SHORT, [3]),
            278: (LONG, [small[1]]),
            279: (LONG, [len(jpeg)]),
        }
    data = bytearray(at)
    data[:8] = struct.pack("<2sHI", b"II", 42, 8)
    for place, tags in ((8, main), (2048, raw), (3072, exif)):
        folder = _folder(tags, place)
        data[place : place + len(folder)] = folder
    return bytes(data) + samples + jpeg


def _folder(tags: Tags, at: int) -> bytes:
    entries, values = b"", b""
    after = at + 2 + 12 * len(tags) + 4
    for number, (kind, said) in sorted(tags.items()):
        packed, count = _packed(kind, said)
        if len(packed) <= 4:
            place = packed.ljust(4, b"\0")
        else:
            place = struct.pack("<I", after + len(values))
            values += packed + bytes(len(packed) % 2)
        entries += struct.pack("<HHI", number, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + bytes(4) + values


def _packed(kind: int, said: object) -> tuple[bytes, int]:
    if isinstance(said, str):
        return said.encode() + b"\0", len(said) + 1
    assert isinstance(said, list)
    if kind in (RATIONAL, SRATIONAL):
        return b"".join(struct.pack("<ii", *each) for each in said), len(said)
    return struct.pack(f"<{len(said)}{LETTERS[kind]}", *said), len(said)
