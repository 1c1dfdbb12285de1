"""A small picture in every format, with as much in it as the format takes: a date, an orientation,
a colour profile. Those that Pillow only reads are written by hand.
"""

import io
import struct
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image

from retrieval.decoding.profiles import Meaning, made
from tests.retrieval.decoding.formats.raw_files import TAKEN, dng

SIZE = 64, 48
ORIENTATION, EXIF_IFD, DATE = 0x0112, 0x8769, 0x9003
TURNED = 6  # to be turned by 90° clockwise
LINEAR = made(Meaning(gamma=1.0))  # a profile that nobody can overlook
OPTIONS: dict[str, dict[str, object]] = {
    "AVIF": {"quality": 95},
    "JPEG": {"quality": 95},
    "MPO": {"quality": 95, "save_all": True, "append_images": [Image.new("RGB", SIZE)]},
    "WEBP": {"lossless": True},
}
# For x265: quickly, and in this thread alone. Its own wait for each other on a busy machine.
QUICK_HEIC = {
    "preset": "ultrafast",
    "x265:pools": "none",
    "x265:frame-threads": "1",
    "x265:wpp": "0",
}
MODES = {"MSP": "1", "XBM": "1", "BLP": "P", "ICNS": "RGBA"}


def base() -> Image.Image:
    """Four quarters of different colours."""
    picture = Image.new("RGB", SIZE, (200, 60, 40))
    picture.paste((40, 90, 200), (32, 0, 64, 24))
    picture.paste((230, 230, 230), (0, 24, 32, 48))
    picture.paste((60, 150, 60), (32, 24, 64, 48))
    return picture


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    tags.get_ifd(EXIF_IFD)[DATE] = TAKEN
    return tags.tobytes()


def sample(name: str, orientation: int = 1, profile: bytes | None = None) -> bytes:
    """The picture in a format, by Pillow's name. What the format does not take is left out."""
    if name == "PSD":
        return psd(base(), profile=profile, tags=exif(orientation))
    if name in BY_HAND:
        return BY_HAND[name](base())
    if name == "JPEG2000" and profile:
        return jpeg2000(base(), profile)
    if name == "RAW":
        return dng(base(), orientation=orientation)
    if name == "JXL":
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode_jpeg(sample("JPEG", orientation, profile)))
    options = {"exif": exif(orientation)} | ({"icc_profile": profile} if profile else {})
    mode = MODES.get(name, "RGB")
    return written(base().convert(mode), name, **OPTIONS.get(name, {}), **options)


def written(picture: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    if format == "HEIF":
        import pillow_heif

        options = {"quality": 95, "enc_params": QUICK_HEIC, **options}
        pillow_heif.from_pillow(picture).save(stream, **options)
        return stream.getvalue()
    with warnings.catch_warnings(action="ignore"):  # of formats that will go
        picture.save(stream, format, **options)
    return stream.getvalue()


# -- by hand -------------------------------------------------------------------------------------


def sun(picture: Image.Image) -> bytes:
    blue_first = np.asarray(picture)[:, :, ::-1].tobytes()
    head = struct.pack(">8I", 0x59A66A95, *picture.size, 24, len(blue_first), 1, 0, 0)
    return head + blue_first


def xpm(picture: Image.Image) -> bytes:
    few = picture.quantize(8)
    palette = [*(few.getpalette() or []), *bytes(24)]
    colours = [f'"{i} c #{bytes(palette[3 * i : 3 * i + 3]).hex()}",' for i in range(8)]
    rows = ['"' + "".join(map(str, row)) + '",' for row in np.asarray(few)]
    head = f'"{few.width} {few.height} 8 1",'
    text = ["/* XPM */", "static char *p[] = {", head, *colours, *rows, "};"]
    return "\n".join(text).encode()


def cur(picture: Image.Image) -> bytes:
    rgba = picture.convert("RGBA").resize((32, 32))
    rows = np.asarray(rgba)[::-1, :, [2, 1, 0, 3]].tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, 32, 64, 1, 32, 0, len(rows), 0, 0, 0, 0)
    body = head + rows + bytes(32 * 4)
    return struct.pack("<3H4B2H2I", 0, 2, 1, 32, 32, 0, 0, 0, 0, len(body), 22) + body


def gbr(picture: Image.Image) -> bytes:
    rgba = picture.convert("RGBA")
    name = b"brush\0"
    head = struct.pack(">5I4sI", 28 + len(name), 2, *rgba.size, 4, b"GIMP", 10)
    return head + name + rgba.tobytes()


def dcx(picture: Image.Image) -> bytes:
    return struct.pack("<3I", 0x3ADE68B1, 12, 0) + written(picture, "PCX")


def psd(
    picture: Image.Image,
    bits: int = 8,
    *,
    profile: bytes | None = None,
    tags: bytes = b"",
    is_packed: bool = False,
    is_large: bool = False,
) -> bytes:
    """A Photoshop file of a picture in the mode L, RGB, CMYK or LAB; of 32 bits: linear floats.

    tags: EXIF; is_packed: compressed; is_large: a PSB.
    """
    width, height = picture.size
    pixels = np.atleast_3d(np.asarray(picture))
    mode = {"L": 1, "RGB": 3, "CMYK": 4, "LAB": 9}[picture.mode]
    planes = np.moveaxis(255 - pixels if mode == 4 else pixels, 2, 0).copy()
    if mode == 9:
        planes[1:] ^= 128  # NumPy sees Pillow's a and b with signs
    if bits == 16:
        planes = planes.astype(">u2") * 257
    elif bits == 32:
        colours = planes / 255
        light = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
        planes = light.astype(">f4")
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1 + is_large, len(planes), height, width, bits, mode)
    resources = b"".join(
        struct.pack(">4sHHI", b"8BIM", number, 0, len(held)) + held + bytes(len(held) % 2)
        for number, held in ((1039, profile), (1058, tags))
        if held
    )
    layers = bytes(8 if is_large else 4)
    sections = bytes(4) + struct.pack(">I", len(resources)) + resources + layers
    if not is_packed:
        return head + sections + b"\0\0" + planes.tobytes()
    rows = [_packed(row.tobytes()) for plane in planes for row in plane]
    lengths = struct.pack(f">{len(rows)}{'I' if is_large else 'H'}", *map(len, rows))
    return head + sections + b"\0\1" + lengths + b"".join(rows)


def _packed(row: bytes) -> bytes:
    """PackBits in its simplest form: nothing repeats."""
    parts = [row[at : at + 128] for at in range(0, len(row), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def jpeg2000(picture: Image.Image, profile: bytes) -> bytes:
    """A JP2 with a profile in place of the number of its colours."""
    data = written(picture, "JPEG2000")
    at = data.index(b"colr") - 4
    end = at + int.from_bytes(data[at : at + 4])
    colours = struct.pack(">I4s3B", 11 + len(profile), b"colr", 2, 0, 0) + profile
    header = data.index(b"jp2h") - 4
    size = int.from_bytes(data[header : header + 4]) + len(colours) - (end - at)
    return data[:header] + size.to_bytes(4) + data[header + 4 : at] + colours + data[end:]


def pixar(picture: Image.Image) -> bytes:
    head = bytearray(1024)
    head[:4] = b"\200\350\000\000"
    struct.pack_into("<2H", head, 416, picture.height, picture.width)
    struct.pack_into("<2H", head, 424, 14, 2)
    return bytes(head) + picture.tobytes()


def ftex(picture: Image.Image) -> bytes:
    """Iron Lore's texture, uncompressed."""
    body = picture.tobytes()
    head = struct.pack("<4sI2i2i", b"FTEX", 0x00010001, *picture.size, 1, 1)
    return head + struct.pack("<3i", 1, 32, len(body)) + body


def fli(picture: Image.Image) -> bytes:
    few = picture.quantize(8)
    colours = bytes(few.getpalette() or []).ljust(768, b"\0")[:768]
    palette = struct.pack("<IHHBB", 6 + 4 + 768, 4, 1, 0, 0) + colours
    pixels = struct.pack("<IH", 6 + few.width * few.height, 16) + few.tobytes()
    frame = struct.pack("<IHH8x", 16 + len(palette) + len(pixels), 0xF1FA, 2) + palette + pixels
    size = 128 + len(frame)
    head = struct.pack("<IHHHHHHI", size, 0xAF12, 1, *few.size, 8, 3, 50)
    return head.ljust(80, b"\0") + struct.pack("<I", 128).ljust(48, b"\0") + frame


def pcd(picture: Image.Image) -> bytes:
    """A Photo CD: 768 × 512, of which nothing is known but that it is grey."""
    data = bytearray(b"\x80" * (96 * 2048 + 768 * 512 * 3 // 2))
    data[2048:2052] = b"PCD_"
    data[2048 + 1538] = 0
    return bytes(data)


BY_HAND: dict[str, Callable[[Image.Image], bytes]] = {
    "CUR": cur,
    "DCX": dcx,
    "FLI": fli,
    "FTEX": ftex,
    "GBR": gbr,
    "PCD": pcd,
    "PIXAR": pixar,
    "SUN": sun,
    "XPM": xpm,
}
