"""The seam for files with more than one size of a picture in them."""

from abc import abstractmethod
from contextlib import suppress
from typing import Any

from PIL import Image, ImageFile

from clipmodel.bicubic import Box

# Sizes in a file are used for a vector if at least this many times the model's side remains, where
# they are made by other filters than ours, or compressed by themselves.
LEAST = 3.0
# A JPEG is decoded at 1/2, 1/4 or 1/8 if at least this many times the model's side remains; so 12
# megapixels are decoded at an eighth. The cosine to the vector of a full decode, over eight photos
# enlarged to three sizes, with the bundled model: at least 0.9978, on average 0.9994. A factor of 2
# is slower and gives 0.9995 and 0.9999.
DRAFT_FACTOR = 1.5


class Smaller:
    """An opened picture that may be loaded from a smaller one in the same file.

    No Protocol: `isinstance` with one takes 0.2 ms, a tenth of decoding a small JPEG.
    """

    @abstractmethod
    def choose(self, side: int, *, is_to_show: bool = False) -> Box | None:
        """Decide to load the smallest picture whose shorter side is at least `side` pixels.

        is_to_show: people look at it; a vector needs a closer likeness of the whole picture.

        Once it is loaded, the picture's size is that one's. Returns what `draft` returns: the exact
        part of it, or None for all of it.
        """


class Replaced(Smaller, ImageFile.ImageFile):
    """An opened picture in whose place a smaller one of the same file may be loaded."""

    smaller: Image.Image | None = None  # the one to load, if it can be

    def load(self) -> Any:
        smaller, self.smaller = self.smaller, None
        if smaller is not None:
            with suppress(OSError, SyntaxError, ValueError):  # the whole picture may be sound
                smaller.load()
                self.im, self._size, self._mode = smaller.im, smaller.size, smaller.mode
                self.forget()
        return super().load()

    def forget(self) -> None:
        """Have nothing left to load."""
        self.tile = []


class Deferred(Smaller, ImageFile.ImageFile):
    """An opened file whose pixels another library makes, or another picture in the file.

    Its size is that of the pixels as stored; `tags` has EXIF, with the orientation to apply.
    """

    tags: Image.Exif
    chosen: Image.Image | None = None
    is_loaded = False

    @abstractmethod
    def pixels(self) -> Image.Image:
        """Return the picture itself, if no other was chosen. Raises OSError."""

    def done(self) -> None:
        """Release what is no longer needed after loading."""

    def getexif(self) -> Image.Exif:
        return self.tags

    def load(self) -> Any:
        if not self.is_loaded:
            image = self.chosen or self.pixels()
            image.load()
            self.im, self._size, self._mode = image.im, image.size, image.mode
            if profile := image.info.get("icc_profile"):
                self.info["icc_profile"] = profile
            self.is_loaded, self.chosen = True, None
            self.done()
        return super().load()

    def take(self, image: Image.Image) -> None:
        """Load this picture instead."""
        self.chosen, self._size = image, image.size


def drafted(image: Image.Image, side: int) -> Box | None:
    """Let a JPEG be decoded smaller, as `DRAFT_FACTOR` says; return the exact part of it."""
    least = int(DRAFT_FACTOR * side)
    found = image.draft(None, (least, least))
    return found and found[1]


def is_same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Return whether two sizes in pixels have the same aspect, up to rounding to whole pixels."""
    (width, height), (small_width, small_height) = sorted((one, other), reverse=True)
    across = abs(width * small_height / height - small_width)
    down = abs(height * small_width / width - small_height)
    return min(across, down) <= 1
