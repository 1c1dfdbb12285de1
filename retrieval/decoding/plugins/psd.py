"""Photoshop files, PSD and PSB, of 1 to 32 bits a channel: the merged picture that they contain.

Pillow reads those of 8 bits and knows nothing of their EXIF.
"""

import struct
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from clipmodel.bicubic import Box
from retrieval.decoding.exif import ORIENTATION
from retrieval.decoding.plugins.smaller import Deferred

HEAD = struct.Struct(">4sH6xHIIHH")  # signature, version, channels, height, width, depth, mode
BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9
BANDS = {GREY: "L", RGB: "RGB", CMYK: "CMYK", MULTICHANNEL: "L", DUOTONE: "L", LAB: "LAB"}
RAW, PACKED = 0, 1  # compressions
IPTC, PROFILE, EXIF, XMP = 1028, 1039, 1058, 1060  # numbers of resources
PALETTE = 768  # bytes: all reds, all greens, all blues
MAX_RESOURCES = 1_000


class PsdHeader(NamedTuple):
    signature: bytes
    version: int  # 2: PSB
    channels: int
    height: int
    width: int
    depth: int  # bits a channel
    mode: int


class PsdPicture(Deferred):
    """A Photoshop file that Pillow has open."""

    format = "PSD"
    format_description = "Adobe Photoshop"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        head = self._head = PsdHeader._make(HEAD.unpack_from(self._data))
        bands = BANDS.get(head.mode, "1" if head.depth == 1 else "P")
        if len(bands) > head.channels or head.depth not in (1, 8, 16, 32):
            raise SyntaxError("not a Photoshop file of a kind that is known")
        self._mode, self._size, self.tile = bands, (head.width, head.height), []
        colours, resources, layers, pixels = self._sections()
        self._palette, self._at = self._data[colours:][:PALETTE], pixels
        self._is_clear = self._has_transparency(layers) and bands == "RGB" and head.channels > 3
        self._read_resources(resources, layers)

    def choose(self, side: int, *, is_to_show: bool = False) -> Box | None:
        """Load the merged picture; see `Smaller`."""
        return None

    def pixels(self) -> Image.Image:
        """Return the merged picture. Raises OSError."""
        head = self._head
        if self._mode in ("1", "P"):
            return self._of_few_colours(self._bytes(1, -(-head.width * head.depth // 8)))
        count = len(self._mode) + self._is_clear
        rows = self._bytes(count, head.width * head.depth // 8)
        values = np.frombuffer(rows, f">{'f' if head.depth == 32 else 'u'}{head.depth // 8}")
        bands = [_band(each, head.depth) for each in values.reshape(count, head.height, head.width)]
        picture = Image.merge(self._mode + "A" * self._is_clear, bands)
        if head.mode == CMYK:
            picture = ImageChops.invert(picture)
        if head.depth == 32:  # it says that they are linear, which they no longer are
            self.info.pop("icc_profile", None)
        return picture

    def done(self) -> None:
        self._data = b""

    def _of_few_colours(self, rows: bytes) -> Image.Image:
        if self._mode == "1":
            return Image.frombytes("1", self.size, rows, "raw", "1;I")
        picture = Image.frombytes("P", self.size, rows)
        picture.putpalette(self._palette, "RGB;L")
        return picture

    def _bytes(self, planes: int, width: int) -> bytes:
        """Return the rows of the first planes, of so many bytes each, one plane after the other."""
        rows = planes * self._head.height
        if len(self._data) < self._at + 2:
            raise OSError("the file ends too early")
        (compression,) = struct.unpack_from(">H", self._data, self._at)
        begin, size = self._at + 2, width * rows
        if compression == PACKED:  # the lengths of all rows of all planes come first
            begin += self._head.channels * self._head.height * 2 * self._head.version
            packed = self._data[begin:]
            try:
                return Image.frombytes("L", (width, rows), packed, "packbits", "L").tobytes()
            except ValueError as error:
                raise OSError("it is damaged, or the file ends too early") from error
        if compression != RAW:
            raise OSError(f"its merged picture has compression {compression}, which is not read")
        if len(self._data) < begin + size:
            raise OSError("the file ends too early")
        return self._data[begin : begin + size]

    # -- sections --------------------------------------------------------------------------------

    def _sections(self) -> tuple[int, int, int, int]:
        """Return where colours, resources, layers and the merged picture begin."""
        begin, found = HEAD.size, list[int]()
        for letter in ("I", "I", "Q" if self._head.version == 2 else "I"):
            (size,) = struct.unpack_from(">" + letter, self._data, begin)
            begin += struct.calcsize(">" + letter)
            found.append(begin)
            begin += size
        return found[0], found[1], found[2], begin

    def _has_transparency(self, layers: int) -> bool:
        """Return whether the first channel behind the colours says what is transparent.

        Then the number of layers is negative.
        """
        at = layers + 4 * self._head.version  # behind the length of the part with layers
        return at + 2 <= self._at and struct.unpack_from(">h", self._data, at)[0] < 0

    def _read_resources(self, begin: int, end: int) -> None:
        self.tags = Image.Exif()
        for number, held in _resources(self._data, begin, end):
            if number == PROFILE:
                self.info["icc_profile"] = held
            elif number == XMP:
                self.info["xmp"] = held
            elif number == IPTC:
                self.info["photoshop"] = {IPTC: held}
            elif number == EXIF:
                with suppress(Exception):  # it may be anything
                    self.tags.load(held)
        self.tags[ORIENTATION] = 1  # it is stored as it is seen


def _band(values: NDArray[Any], depth: int) -> Image.Image:
    """Return a channel, (H, W), as bytes; floats are linear light."""
    if depth == 16:
        values = values >> 8
    elif depth == 32:
        light = np.nan_to_num(values.astype(np.float32)).clip(0, 1)
        values = np.round(255 * np.where(light <= 0.0031308, 12.92 * light, _gamma(light)))
    return Image.fromarray(values.astype(np.uint8, copy=False))


def _gamma(light: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.float32(1.055) * light ** np.float32(1 / 2.4) - np.float32(0.055)


def _resources(data: bytes, at: int, end: int) -> list[tuple[int, bytes]]:
    """Return the numbered blocks in a section, as far as they make sense."""
    found = list[tuple[int, bytes]]()
    while at + 12 <= end and len(found) < MAX_RESOURCES:
        number, name = int.from_bytes(data[at + 4 : at + 6]), data[at + 6]
        at += 6 + name + 2 - name % 2  # the name has a byte for its length, and an even size
        size = int.from_bytes(data[at : at + 4])
        found.append((number, data[at + 4 : at + 4 + size]))
        at += 4 + size + size % 2
    return found


def register() -> None:
    """Let Pillow open Photoshop files by this class."""
    Image.register_open(PsdPicture.format, PsdPicture, lambda prefix: prefix.startswith(b"8BPS"))
