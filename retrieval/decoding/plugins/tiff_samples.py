"""TIFFs with samples that Pillow has no mode for: several floats a pixel, Lab of 16 bits, and more.

Pillow's decoder (libtiff) is given a copy of the file that claims to be a grey picture of bytes, so
that it only decompresses. What the bytes mean is found out here.
"""

import io
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from retrieval.decoding.colours import in_range

WIDTH, HEIGHT, BITS, COMPRESSION, MEANING, FILL_ORDER = 256, 257, 258, 259, 262, 266
OFFSETS, SAMPLES, ROWS, LENGTHS, PLANAR, PREDICTOR = 273, 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS, FORMAT = 322, 323, 324, 325, 339
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK, LAB = 0, 1, 2, 5, 8
CHANNELS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, CMYK: 4, LAB: 3}
FORMATS = {1: "u", 2: "i", 3: "f"}
TYPES = ("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")
JPEGS = (6, 7)  # compressions that know what the samples mean
DIFFERENCES, OF_FLOATS = 2, 3  # predictors
MAX_SAMPLES = 64  # of a pixel
LONG = 4  # TIFF's number for the type

Tags = Mapping[int, Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the samples of a picture are, and what they mean."""

    size: tuple[int, int]  # width and height, as stored
    meaning: int
    samples: int  # of a pixel, with those that are no colours
    type: str  # NumPy's, without the order of bytes
    order: str  # "<" or ">"
    is_planar: bool  # one colour after the other
    predictor: int
    tile_width: int  # 0: strips

    @property
    def together(self) -> int:
        """Samples of a pixel that are stored side by side."""
        return 1 if self.is_planar else self.samples

    @property
    def bytes(self) -> int:
        return int(self.type[1:])

    @property
    def padded(self) -> int:
        """The width in pixels with which it is stored: whole tiles."""
        width = self.size[0]
        return math.ceil(width / self.tile_width) * self.tile_width if self.tile_width else width


def layout_of(tags: Tags, order: str) -> Layout | None:
    """Return where the samples are; None if this module cannot read them either."""
    meaning, samples = tags.get(MEANING, BLACK_IS_ZERO), tags.get(SAMPLES, 1)
    bits, formats = set(tags.get(BITS, (1,))), set(tags.get(FORMAT, (1,)))
    if len(bits) != 1 or len(formats) != 1 or tags.get(COMPRESSION, 1) in JPEGS:
        return None
    type = f"{FORMATS.get(formats.pop(), '?')}{bits.pop() // 8}"
    enough = CHANNELS.get(meaning, MAX_SAMPLES) <= samples <= MAX_SAMPLES
    if type not in TYPES or not enough or (meaning in (CMYK, LAB) and type[1] not in "12"):
        return None
    return Layout(
        size=(tags[WIDTH], tags[HEIGHT]),
        meaning=meaning,
        samples=samples,
        type=type,
        order=order,
        is_planar=samples > 1 and tags.get(PLANAR, 1) == 2,
        predictor=tags.get(PREDICTOR, 1),
        tile_width=tags.get(TILE_WIDTH, 0),
    )


def picture(data: bytes, tags: Tags, layout: Layout) -> Image.Image:
    """Return the picture in a mode of Pillow. Raises OSError."""
    planes = list(_planes(data, tags, layout))  # (H, W, samples) each
    values = np.concatenate(planes, axis=2)[..., : CHANNELS[layout.meaning]]
    if layout.meaning == LAB:
        return Image.merge("LAB", [Image.fromarray(each) for each in _lab(values)])
    bytes = in_range(values, layout.type[0] == "f")
    if layout.meaning == CMYK:
        return Image.frombytes("CMYK", layout.size, bytes.tobytes())
    if layout.meaning == RGB:
        return Image.fromarray(bytes)
    grey = bytes[..., 0]
    return Image.fromarray(255 - grey if layout.meaning == WHITE_IS_ZERO else grey)


def _lab(values: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    """Yield L, a and b (H, W); TIFF's a and b have signs, Pillow's an offset of 128."""
    high = values.astype(np.int64) >> (8 * (values.itemsize - 1))
    for band, offset in enumerate((0, 128, 128)):
        yield (high[..., band] ^ offset).astype(np.uint8)


# -- samples -------------------------------------------------------------------------------------


def _planes(data: bytes, tags: Tags, layout: Layout) -> Iterator[NDArray[Any]]:
    """Yield all samples, (H, W, samples), or those that are needed plane by plane (H, W, 1)."""
    is_tiled = layout.tile_width > 0
    names = (TILE_OFFSETS, TILE_LENGTHS) if is_tiled else (OFFSETS, LENGTHS)
    parts = [tags[name] for name in names]
    count = CHANNELS[layout.meaning] if layout.is_planar else 1
    of_plane = len(parts[0]) // (layout.samples if layout.is_planar else 1)
    for plane in range(count):
        begin = plane * of_plane
        offsets, lengths = (each[begin : begin + of_plane] for each in parts)
        copy = _as_bytes(data, tags, layout, offsets, lengths)
        with TiffImagePlugin.TiffImageFile(io.BytesIO(copy)) as grey:
            rows = np.frombuffer(grey.tobytes(), np.uint8).reshape(layout.size[1], -1)
        yield _values(rows, layout)


def _as_bytes(
    data: bytes, tags: Tags, layout: Layout, offsets: Sequence[int], lengths: Sequence[int]
) -> bytes:
    """Return a copy of the file whose first page has a grey byte for each byte of some samples."""
    width = layout.together * layout.bytes  # of a pixel, in bytes
    page: dict[int, Sequence[int]] = {
        WIDTH: [layout.padded * width],
        HEIGHT: [layout.size[1]],
        BITS: [8],
        COMPRESSION: [tags.get(COMPRESSION, 1)],
        MEANING: [BLACK_IS_ZERO],
        FILL_ORDER: [tags.get(FILL_ORDER, 1)],
        SAMPLES: [1],
    }
    if layout.tile_width:
        page |= {TILE_WIDTH: [layout.tile_width * width], TILE_HEIGHT: [tags[TILE_HEIGHT]]}
        page |= {TILE_OFFSETS: offsets, TILE_LENGTHS: lengths}
    else:
        rows = min(tags.get(ROWS, layout.size[1]), layout.size[1])
        page |= {ROWS: [rows], OFFSETS: offsets, LENGTHS: lengths}
    at = len(data) + len(data) % 2
    head = struct.pack(layout.order + "2sHI", b"II" if layout.order == "<" else b"MM", 42, at)
    return head + data[8:].ljust(at - 8, b"\0") + _folder(page, at, layout.order)


def _folder(page: Mapping[int, Sequence[int]], at: int, order: str) -> bytes:
    """Return the tags of a page, all whole numbers of 32 bits, to be written at this place."""
    entries, values = struct.pack(order + "H", len(page)), b""
    after = at + 2 + 12 * len(page) + 4
    for tag, said in sorted(page.items()):
        packed = struct.pack(f"{order}{len(said)}I", *said)
        if len(said) > 1:
            packed, values = struct.pack(order + "I", after + len(values)), values + packed
        entries += struct.pack(order + "HHI", tag, LONG, len(said)) + packed
    return entries + bytes(4) + values


def _values(rows: NDArray[np.uint8], layout: Layout) -> NDArray[Any]:
    """Return what rows of bytes mean, (H, W, samples)."""
    across = layout.tile_width or layout.padded  # that a predictor knows of
    count = layout.together
    tiles = rows.reshape(len(rows), -1, across * count * layout.bytes)
    if layout.predictor == OF_FLOATS:
        tiles = np.cumsum(tiles.reshape(*tiles.shape[:2], -1, count), axis=2, dtype=np.uint8)
        planes = tiles.reshape(*tiles.shape[:2], layout.bytes, -1)  # the highest bytes first
        values = np.ascontiguousarray(np.moveaxis(planes, 2, 3)).view(">" + layout.type)
    else:
        whole = "u" if layout.predictor == DIFFERENCES else layout.type[0]
        values = tiles.view(f"{layout.order}{whole}{layout.bytes}")
    values = values.reshape(*tiles.shape[:2], across, count)
    if layout.predictor == DIFFERENCES:
        values = np.cumsum(values, axis=2, dtype=f"=u{layout.bytes}").view(f"={layout.type}")
    return values.reshape(len(rows), -1, count)[:, : layout.size[0]]
