"""Augmentation: pictures are cropped and flipped one by one, and recoloured as a batch."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """The limits within which a changed picture keeps its captions true."""

    least_area: float  # of the picture that a crop keeps
    flip: bool
    colour: float  # strength of the changes of brightness, contrast and saturation, 0 to 1


PHOTO = Augmentation(least_area=0.4, flip=True, colour=0.3)
SCENE = Augmentation(least_area=0.85, flip=False, colour=0.08)  # captions name places and colours


def crop(
    picture: NDArray[np.uint8], size: int, how: Augmentation, rng: random.Random
) -> NDArray[np.uint8]:
    """Crop (S, S, 3) at random and resize it to (size, size, 3), bicubic as at inference."""
    side = picture.shape[0]
    area = rng.uniform(how.least_area, 1.0) * side * side
    ratio = np.exp(rng.uniform(-0.22, 0.22))  # 0.8 to 1.25
    width = min(side, (area * ratio) ** 0.5)
    height = min(side, (area / ratio) ** 0.5)
    left, top = rng.uniform(0, side - width), rng.uniform(0, side - height)
    box = (left, top, left + width, top + height)
    small = np.asarray(
        Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC, box=box)
    )
    return small[:, ::-1] if how.flip and rng.random() < 0.5 else small


def jitter(pixels: Tensor, strength: Tensor, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation at random.

    pixels: (B, 3, H, W) in 0..1,
    strength: (B,).
    """
    change = (torch.rand(3, len(pixels), 1, 1, 1, generator=generator) * 2 - 1).to(pixels.device)
    brightness, contrast, saturation = 1 + change * strength.view(1, -1, 1, 1, 1)
    pixels = pixels * brightness
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True)
    pixels = (pixels - mean) * contrast + mean
    grey = pixels.mean(dim=1, keepdim=True)
    coloured: Tensor = (pixels - grey) * saturation + grey
    return coloured.clamp(0, 1)
