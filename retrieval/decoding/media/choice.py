"""The choice of moments: of many frames the few that show another scene, sharply.

It looks at small grey frames. What it keeps is compared once more by its vectors, which know that
a scene is the same after the camera has moved (`distinct` in indexing/encoding.py).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

LOOK = (160, 90)  # pixels of a look at a frame
SCENE = (16, 9)  # … in which noise and a trembling hand are gone
SAME = 6.0  # mean difference of two looks, of 255, up to which they show the same
FLAT = 6.0  # deviation of a look, of 255, up to which it shows nothing: black, white, a fade
BLURRED = 0.3  # sharpness, relative to the median of the frames, below which one is blurred
SECONDS = 1.0  # at least, between two moments


class Look(NamedTuple):
    """A frame in brief."""

    position: float  # a frame, a page, or seconds
    time: float  # seconds
    scene: NDArray[np.float32]  # (9, 16)
    contrast: float  # deviation of its brightness, of 255
    sharpness: float  # mean absolute Laplacian

    @property
    def is_flat(self) -> bool:
        return self.contrast < FLAT


def look_at(image: Image.Image, position: float, time: float) -> Look:
    """Look at a frame of any size and mode."""
    small = image.convert("L").resize(LOOK, Image.Resampling.BOX)
    grey = np.asarray(small, np.float32)
    scene = np.asarray(small.resize(SCENE, Image.Resampling.BOX), np.float32)
    middle = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    sharpness = float(np.abs(middle - around).mean())
    return Look(position, time, scene, float(grey.std()), sharpness)


def chosen(looks: Sequence[Look], most: int, *, keeps_first: bool = False) -> list[int]:
    """Return the rows of up to `most` looks, in order, spread over all of them; never none if there
    are any.

    keeps_first: the first one, whatever it shows.
    """
    if not looks:
        return []
    telling = [row for row, look in enumerate(looks) if not look.is_flat]
    usual = float(np.median([looks[row].sharpness for row in telling])) if telling else 0.0
    sharp = [row for row in telling if looks[row].sharpness >= BLURRED * usual]
    kept = [0] if keeps_first else []
    for row in sharp:
        if not kept or _is_another(looks[kept[-1]], looks[row]):
            kept.append(row)
    if not kept:
        kept = [max(range(len(looks)), key=lambda row: looks[row].contrast)]
    return spread(kept, most)


def spread(rows: Sequence[int], most: int) -> list[int]:
    """Return up to `most` of the rows, the first and others at even distances."""
    if len(rows) <= most:
        return list(rows)
    places = np.arange(most) * len(rows) // most
    return [rows[place] for place in places.tolist()]


def _is_another(last: Look, look: Look) -> bool:
    """Return whether a look shows something else than the last one that was kept."""
    if look.time - last.time < SECONDS:
        return False
    return float(np.abs(look.scene - last.scene).mean()) > SAME
