"""HEIC, by pi-heif. Where a phone stored a small picture inside, that is decoded if it suffices:
in 10 ms, in place of 400 for 12 megapixels.

The decoder has no call for it. It is given a copy of the bytes that names the small picture as the
one to show.

With the first bundled model, of 96 pixels, the cosine to the vector of the whole picture was 0.9945
for a small picture of 240 pixels, and 0.9955 for one of 384. With `tiny-2`, of 224, they are 0.9645
and 0.8916: one has lost its textures to compression, the other was reduced by leaving pixels out
(docs/formats.md has the figures).
"""

import io

import pi_heif
from PIL import Image

from clipmodel.bicubic import Box
from retrieval.decoding.plugins import boxes
from retrieval.decoding.plugins.smaller import LEAST, Replaced, is_same_shape

FORMAT = "HEIF"
BRANDS = frozenset("heic heix heim heis hevc hevx hevm hevs mif1 msf1 mif2 heif".split())


class HeifPicture(Replaced, pi_heif.HeifImageFile):  # type: ignore[misc]  # it comes without types
    """A HEIC file that Pillow has open."""

    def choose(self, side: int, *, is_to_show: bool = False) -> Box | None:
        """Decide to load the stored small picture; see `Smaller`."""
        if self.fp is None or min(self.size) <= side:
            return None
        self.fp.seek(0)
        data = self.fp.read()
        if (found := boxes.items(data)) is None:
            return None
        least = side if is_to_show else LEAST * side
        for small in boxes.small_pictures(found):
            if min(small.size) >= least and is_same_shape(small.size, small.of_size):
                self._take(boxes.showing(data, found, small.item))
                return None
        return None

    def forget(self) -> None:
        self._heif_file = None

    def _take(self, copy: bytes) -> None:
        try:
            small = pi_heif.HeifImageFile(io.BytesIO(copy))
        except (OSError, SyntaxError, ValueError):  # the whole picture may be sound
            return
        if is_same_shape(small.size, self.size):
            self.smaller = small


def register() -> None:
    """Let Pillow open HEIC; one thread a picture, since each worker decodes its own."""
    pi_heif.options.DECODE_THREADS = 1
    pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    Image.register_open(FORMAT, HeifPicture, _is_heif)
    Image.register_extensions(FORMAT, [".heic", ".heics", ".heif", ".heifs", ".hif"])


def _is_heif(prefix: bytes) -> bool:
    return prefix[4:8] == b"ftyp" and prefix[8:12].decode("ascii", "replace") in BRANDS
