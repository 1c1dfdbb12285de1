"""Augmentation: pictures are cropped, mirrored and recoloured at random."""

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance


@dataclass(frozen=True)
class Augmentation:
    """The limits within which a changed picture keeps its captions true."""

    least_area: float  # of the picture that a crop keeps
    flip: bool
    colour: float  # strength of the changes of brightness, contrast and saturation, 0 to 1


WHOLE = Augmentation(least_area=1.0, flip=False, colour=0.0)
PHOTO = Augmentation(least_area=0.45, flip=True, colour=0.2)
THING = Augmentation(least_area=0.5, flip=True, colour=0.2)
SCENE = Augmentation(least_area=0.85, flip=True, colour=0.08)  # captions name numbers and colours


def changed(
    picture: NDArray[np.uint8], size: int, how: Augmentation, rng: random.Random
) -> NDArray[np.uint8]:
    """Return a view (size, size, 3) of (S, S, 3), resized by bicubic filters as at inference."""
    view = Image.fromarray(picture).resize(
        (size, size), Image.Resampling.BICUBIC, box=_box(picture.shape[0], how, rng)
    )
    if how.flip and rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if how.colour:
        for of in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            view = of(view).enhance(1 + how.colour * rng.uniform(-1, 1))
    return np.asarray(view)


def _box(side: int, how: Augmentation, rng: random.Random) -> tuple[float, float, float, float]:
    """Return the part of a picture that a view shows: left, top, right, bottom."""
    if how.least_area == 1:
        return 0, 0, side, side
    area = rng.uniform(how.least_area, 1.0) * side * side
    ratio = math.exp(rng.uniform(-0.22, 0.22))  # 0.8 to 1.25
    width, height = (min(side, length) for length in ((area * ratio) ** 0.5, (area / ratio) ** 0.5))
    left, top = rng.uniform(0, side - width), rng.uniform(0, side - height)
    return left, top, left + width, top + height
