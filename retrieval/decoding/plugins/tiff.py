"""TIFF pyramids: the same picture in several sizes, as scanners of slides and of maps write them.

The smaller ones are pages, or children of the first page (SubIFDs), marked as reduced.
"""

import io
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any

from PIL import Image, TiffImagePlugin

from clipmodel.bicubic import Box
from retrieval.decoding.exif import ORIENTATION
from retrieval.decoding.plugins.smaller import Replaced, is_same_shape
from retrieval.decoding.plugins.tiff_samples import (
    BITS,
    FORMAT,
    HEIGHT,
    MEANING,
    PLANAR,
    SAMPLES,
    WHITE_IS_ZERO,
    WIDTH,
    Layout,
    layout_of,
    picture,
)

KIND, REDUCED = 254, 1  # NewSubfileType, and its bit
SUB_IFDS = 330
MAX_PAGES = 32  # that are looked at
LARGE = 43  # BigTIFF's version

Page = tuple[tuple[int, int], int]  # width and height, and where its tags are


class TiffPicture(Replaced, TiffImagePlugin.TiffImageFile):
    """A TIFF that Pillow has open."""

    _layout: Layout | None = None  # of samples that Pillow has no mode for

    def _setup(self) -> None:
        try:
            super()._setup()
        except SyntaxError:
            if not self._has_samples():
                raise
        else:
            if self._is_misread():
                self._has_samples()

    def _is_misread(self) -> bool:
        """Return whether Pillow would make something else of the samples.

        Of planes of 16 bits that are not compressed, it makes noise; where white is 0, it inverts
        only bytes; of 32 bits it takes the highest for a sign.
        """
        tags = self.tag_v2
        bits, samples = max(tags.get(BITS, (1,))), tags.get(SAMPLES, 1)
        if bits <= 8:
            return False
        is_grey, has_sign = samples == 1, tags.get(FORMAT, (1,)) != (1,)
        is_inverted = is_grey and tags.get(MEANING) == WHITE_IS_ZERO
        is_other_number = is_grey and bits in (16, 32) and has_sign == (bits == 16)
        return tags.get(PLANAR) == 2 or is_inverted or is_other_number

    def _has_samples(self) -> bool:
        """Plan to read the samples as they are stored; return whether that is possible."""
        self._layout = layout_of(self.tag_v2, "<" if self.tag_v2.prefix == b"II" else ">")
        if self._layout:
            self._mode, self._size, self.tile = "RGB", self._layout.size, []
        return self._layout is not None

    def choose(self, side: int, *, is_to_show: bool = False) -> Box | None:
        """Decide to load a reduced page; see `Smaller`."""
        has_more = SUB_IFDS in self.tag_v2 or self.tag_v2.next
        is_upright = self.getexif().get(ORIENTATION, 1) == 1
        if self._layout or not has_more or not is_upright or min(self.size) <= side:
            return None
        assert self.fp is not None
        with suppress(OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
            fitting = [
                (size, at)
                for size, at in _reduced(self.fp)
                if min(size) >= side and is_same_shape(size, self.size)
            ]
            if fitting:
                self._take(min(fitting)[1])
        return None

    def load(self) -> Any:
        try:
            if self._layout is not None:
                self._load_samples(self._layout)
            file, is_deep = self.fp, self.tag_v2.get(BITS) == (16, 16, 16)
            loaded = super().load()
            if file and is_deep and self._is_dark():  # Pillow keeps the higher byte of 16 bits
                self.fp = file
                if self._has_samples() and self._layout:
                    self._load_samples(self._layout)
                self.fp = None
            return loaded
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, OSError) and "decoder error" not in str(error):
                raise
            said = f"it is damaged, or its compression cannot be read ({self._compression})"
            raise OSError(said) from error

    def _is_dark(self) -> bool:
        """Return whether the samples have no more than 12 bits in 16."""
        bands = (self.im.getband(number) for number in range(self.im.bands))
        return all(band.getextrema()[1] < 1 << (12 - 8) for band in bands)

    def _load_samples(self, layout: Layout) -> None:
        assert self.fp is not None
        self.fp.seek(0)
        made = picture(self.fp.read(), self.tag_v2, layout)
        self.im, self._mode, self._layout = made.im, made.mode, None

    def _take(self, at: int) -> None:
        """Load the page whose tags are there, by a copy of the file that begins with it."""
        assert self.fp is not None
        self.fp.seek(0)
        data = self.fp.read()
        order, is_large = _form(data)
        first = struct.pack(order + "Q", at) if is_large else struct.pack(order + "I", at)
        begin = 8 if is_large else 4
        copy = data[:begin] + first + data[begin + len(first) :]
        self.smaller = TiffImagePlugin.TiffImageFile(io.BytesIO(copy))


def _form(head: bytes) -> tuple[str, bool]:
    """Return the order of bytes, and whether it is a BigTIFF."""
    order = "<" if head[:2] == b"II" else ">"
    return order, struct.unpack_from(order + "H", head, 2)[0] == LARGE


def _reduced(file: IO[bytes]) -> Iterator[Page]:
    """Yield the reduced pages behind the first, and the first page's children."""
    file.seek(0)
    head = file.read(16)
    order, is_large = _form(head)
    head = head if is_large else head[:8]
    (first,) = struct.unpack_from(order + ("Q" if is_large else "I"), head, 8 if is_large else 4)
    waiting, seen = [first], set[int]()
    while waiting and len(seen) < MAX_PAGES:
        at = waiting.pop(0)
        if not at or at in seen:
            continue
        seen.add(at)
        file.seek(at)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head)
        tags.load(file)
        if int(tags.get(KIND, 0)) & REDUCED:
            yield (int(tags[WIDTH]), int(tags[HEIGHT])), at
        waiting.append(tags.next)
        children = tags.get(SUB_IFDS, ())
        waiting += children if isinstance(children, tuple) else (children,)


def register() -> None:
    """Let Pillow open TIFFs by this class."""
    Image.register_open(TiffPicture.format, TiffPicture, TiffImagePlugin._accept)
