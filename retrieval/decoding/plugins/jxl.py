"""JPEG XL, by imagecodecs. A file that was made from a JPEG gives that JPEG back, bit by bit, and
is read from it: with its profile, and scaled.
"""

import io
from contextlib import suppress
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipmodel.bicubic import Box
from retrieval.decoding.exif import ORIENTATION
from retrieval.decoding.plugins.boxes import boxes, find
from retrieval.decoding.plugins.jxl_header import BARE, BOXED, header
from retrieval.decoding.plugins.smaller import Deferred, drafted

MAX_EXIF = 1 << 20  # bytes
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class JxlPicture(Deferred):
    """A JPEG XL file that Pillow has open. Its size is that of the pixels, before it is turned."""

    format = "JXL"
    format_description = "JPEG XL"

    def _open(self) -> None:
        assert self.fp is not None
        self._data = self.fp.read()
        try:
            said = self._header = header(self._data)
        except ValueError as error:
            raise SyntaxError(str(error)) from error
        self._mode, self._size = "L" if said.is_grey else "RGB", (said.width, said.height)
        self.tile = []
        if said.meaning:  # with a profile in its place, a lossy file is decoded to sRGB
            self.info["meaning"] = said.meaning
        if found := find(self._data, None, b"xml "):
            self.info["xmp"] = self._data[found.begin : found.end]
        self.tags = _exif(self._data)
        self.tags[ORIENTATION] = said.orientation

    def choose(self, side: int, *, is_to_show: bool = False) -> Box | None:
        """Decide to load the JPEG that the file was made from; see `Smaller`."""
        jpeg = self._original()
        if jpeg is None or jpeg.size != self.size:
            return None
        box = drafted(jpeg, side)
        self.take(jpeg)
        return box

    def pixels(self) -> Image.Image:
        """Return the first frame. Raises OSError."""
        try:
            pixels = imagecodecs.jpegxl_decode(
                self._data, index=0, keeporientation=True, numthreads=1
            )
        except (imagecodecs.JpegxlError, ValueError, IndexError) as error:
            raise OSError(f"the JPEG XL decoder refuses it: {error}") from error
        return _image(_bytes(pixels, self._header.bits))

    def done(self) -> None:
        self._data = b""

    def _original(self) -> Image.Image | None:
        if not any(box.type == b"jbrd" for box in boxes(self._data)):
            return None
        with suppress(imagecodecs.JpegxlError, OSError, ValueError):
            jpeg = imagecodecs.jpegxl_decode_jpeg(self._data, numthreads=1)
            return Image.open(io.BytesIO(jpeg), formats=["JPEG"])
        return None


def _bytes(pixels: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Convert samples of any type to uint8."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    if pixels.dtype.kind == "f":
        scaled = np.round(np.nan_to_num(pixels).clip(0, 1) * 255)
    else:
        scaled = (pixels >> max(0, min(bits, 16) - 8)).clip(0, 255)
    return np.asarray(scaled, np.uint8)


def _image(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return an image of (H, W) or (H, W, C); of more than four channels the first three."""
    if pixels.ndim == 2:
        return Image.fromarray(pixels)
    channels = pixels.shape[-1]
    if channels not in MODES:
        pixels, channels = pixels[..., :3], 3
    height, width = pixels.shape[:2]
    return Image.frombytes(MODES[channels], (width, height), pixels.tobytes())


def _exif(data: bytes) -> Image.Exif:
    exif = Image.Exif()
    with suppress(Exception):  # it may be anything
        for box in boxes(data):
            body = data[box.begin : box.end]
            if box.type == b"brob" and body[:4] == b"Exif":  # compressed
                body = bytes(imagecodecs.brotli_decode(body[4:], out=MAX_EXIF))
            elif box.type != b"Exif":
                continue
            exif.load(body[4 + int.from_bytes(body[:4]) :])
            break
    return exif


def register() -> None:
    """Let Pillow open JPEG XL."""
    Image.register_open(JxlPicture.format, JxlPicture, lambda prefix: prefix.startswith(STARTS))
    Image.register_extension(JxlPicture.format, ".jxl")


STARTS = (BARE, BOXED)
