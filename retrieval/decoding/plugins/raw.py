"""Raw camera files, by LibRaw. The JPEG that the camera stored inside is decoded if it is large
enough; only otherwise is the picture made from what the sensor saw, if possible at half its size.
"""

import io

import rawpy
from PIL import Image

from clipmodel.bicubic import Box
from retrieval.decoding.exif import ORIENTATION
from retrieval.decoding.plugins.raw_exif import exif_of, is_raw, may_be_raw
from retrieval.decoding.plugins.smaller import Deferred, drafted

TURNS = {3: 3, 5: 8, 6: 6}  # LibRaw's flip -> EXIF's orientation
BACK = {8: Image.Transpose.ROTATE_270, 6: Image.Transpose.ROTATE_90}  # from upright to as stored


class RawPicture(Deferred):
    """A raw camera file that Pillow has open. Its size is the sensor's, before it is turned."""

    format = "RAW"
    format_description = "Raw camera file"

    def _open(self) -> None:
        assert self.fp is not None
        data = self.fp.read()
        if not is_raw(data):
            raise SyntaxError("not a raw camera file")
        self._raw = rawpy.RawPy()
        try:
            self._raw.open_buffer(io.BytesIO(data))
        except rawpy.LibRawError as error:
            raise SyntaxError(_said(error)) from error
        sizes = self._raw.sizes
        self._mode, self._size = "RGB", (sizes.width, sizes.height)
        self.tile = []
        self._is_half = False
        self._small: Image.Image | None = None  # stored, but not large enough
        self.tags = exif_of(data)
        self.tags[ORIENTATION] = TURNS.get(sizes.flip, 1)

    def choose(self, side: int, *, is_to_show: bool = False) -> Box | None:
        """Decide on the stored JPEG, or on the sensor's data at half its size; see `Smaller`."""
        stored = self._stored()
        if stored and min(stored.size) >= min(side, *self.size):
            return self._take(stored, side)
        self._small = stored
        self._is_half = min(self.size) // 2 >= side
        if self._is_half:
            self._size = self.size[0] // 2, self.size[1] // 2
        return None

    def pixels(self) -> Image.Image:
        """Make the picture from what the sensor saw, in sRGB. Raises OSError."""
        try:
            pixels = self._raw.postprocess(
                half_size=self._is_half, use_camera_wb=True, output_bps=8, user_flip=0
            )
        except rawpy.LibRawError as error:
            if self._small:  # better than nothing
                return self._as_stored(self._small)
            raise OSError(f"the raw data cannot be developed: {_said(error)}") from error
        return Image.fromarray(pixels).convert("RGB")

    def done(self) -> None:
        self._raw.close()

    def _take(self, stored: Image.Image, side: int) -> Box | None:
        box = drafted(stored, side) if (turned := self._as_stored(stored)) is stored else None
        self.take(turned)
        return box

    def _as_stored(self, picture: Image.Image) -> Image.Image:
        """Return a stored picture as the sensor saw it: some cameras turn it upright."""
        back = BACK.get(self.tags[ORIENTATION])
        is_turned = (picture.width > picture.height) != (self.width > self.height)
        if back is None or not is_turned or picture.width == picture.height:
            return picture
        return picture.transpose(back)

    def _stored(self) -> Image.Image | None:
        """Return the largest picture that the camera stored; None if there is none to read."""
        try:
            stored = self._raw.extract_thumb()
            if isinstance(stored.data, bytes):
                return Image.open(io.BytesIO(stored.data), formats=["JPEG"])
            return Image.fromarray(stored.data)
        except (rawpy.LibRawError, OSError, ValueError, TypeError):
            return None


def _said(error: Exception) -> str:
    """Return LibRaw's words, which come as bytes."""
    said = error.args[0] if error.args else str(error)
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def register() -> None:
    """Let Pillow open raw camera files."""
    Image.register_open(RawPicture.format, RawPicture, may_be_raw)
