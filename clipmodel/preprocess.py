"""Pictures -> the square of pixels that an image tower sees, as OpenAI's CLIP cuts it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipmodel import bicubic
from clipmodel.bicubic import Box
from clipmodel.config import ModelConfig

if TYPE_CHECKING:
    import torch


LONG = 50  # times its shorter side: of a longer picture only so much of the middle is resized


def resize(
    image: Image.Image, size: int, box: Box | None = None, *, quick: bool = False
) -> Image.Image:
    """Bicubic until the shorter side of `box` (None: all) is `size`. Ends of a very long picture,
    far from what `crop` keeps, are left out: 1 x 100,000 would become 5 gigapixels.

    A JPEG that is decoded at an eighth has its sides rounded up; the box, which Pillow's `draft`
    returns, is the picture without that. Not to heed it would stretch and shift the picture.

    quick: of an RGB picture, see `bicubic.quick`.
    """
    box = _middle(box or (0, 0, *image.size))
    width, height = box[2] - box[0], box[3] - box[1]
    if width <= height:
        resized = (size, int(size * height / width))
    else:
        resized = (int(size * width / height), size)
    if resized == image.size:
        return image
    return (bicubic.quick if quick else bicubic.exact)(image, resized, box)


def _middle(box: Box) -> Box:
    """As much off both ends, in whole pixels, that the rest is at most LONG or little more."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    across, down = max(0, (width - LONG * height) // 2), max(0, (height - LONG * width) // 2)
    return left + across, top + down, right - across, bottom - down


def crop(image: Image.Image, size: int) -> Image.Image:
    """The middle (size, size)."""
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Equal to torchvision's Resize and CenterCrop on the same Pillow image, bit by bit."""
    return crop(resize(image, size), size)


def to_pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """(size, size, 3) RGB, 0 to 255. `image`: RGB."""
    return np.asarray(resize_and_crop(image, size), np.uint8)


def transform(config: ModelConfig) -> "Callable[[Image.Image], torch.Tensor]":
    """OpenAI's torchvision pipeline: a Pillow image of any mode -> (3, S, S) float32."""
    from torchvision.transforms import (
        CenterCrop,
        Compose,
        InterpolationMode,
        Normalize,
        Resize,
        ToTensor,
    )

    size = config.vision.image_size
    composed: Callable[[Image.Image], torch.Tensor] = Compose(
        [
            Resize(size, interpolation=InterpolationMode.BICUBIC),
            CenterCrop(size),
            _to_rgb,
            ToTensor(),
            Normalize(config.mean, config.std),
        ]
    )
    return composed


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")
