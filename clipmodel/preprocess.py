"""Preprocessing: the square of pixels that an image tower sees, as in OpenAI's CLIP."""

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


MAX_ASPECT = 50  # long side to short side; of longer pictures only the middle is resized


def resize(
    image: Image.Image, size: int, box: Box | None = None, *, quick: bool = False
) -> Image.Image:
    """Resize so that the shorter side of `box` (None: the whole picture) is `size`.

    The ends of a very long picture, far from what `crop` keeps, are omitted: 1 × 100,000 pixels
    would become 5 gigapixels.

    box: the exact picture in a JPEG that was decoded at an eighth, whose sides are rounded up; it
    comes from Pillow's `draft`. Without it the picture would be stretched and shifted.
    quick: use `bicubic.quick`, for RGB pictures.
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
    """Trim both ends by whole pixels until the ratio of the sides is MAX_ASPECT or little more."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    across = max(0, (width - MAX_ASPECT * height) // 2)
    down = max(0, (height - MAX_ASPECT * width) // 2)
    return left + across, top + down, right - across, bottom - down


def crop(image: Image.Image, size: int) -> Image.Image:
    """Return the middle (size, size)."""
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def resize_and_crop(image: Image.Image, size: int) -> Image.Image:
    """Resize and crop bit by bit as torchvision's Resize and CenterCrop do."""
    return crop(resize(image, size), size)


def to_pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return the pixels of an RGB picture, (size, size, 3), 0 to 255."""
    return np.asarray(resize_and_crop(image, size), np.uint8)


def transform(config: ModelConfig) -> "Callable[[Image.Image], torch.Tensor]":
    """Return OpenAI's torchvision pipeline: a Pillow image of any mode -> (3, S, S) float32."""
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
