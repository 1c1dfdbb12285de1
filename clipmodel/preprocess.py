"""Preprocessing: the square of pixels that an image tower sees, as in OpenAI's CLIP."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipmodel import bicubic
from clipmodel.bicubic import Box
from clipmodel.config import ModelConfig, Resize

if TYPE_CHECKING:
    import torch


Triple = tuple[float, float, float]  # of the channels
MAX_ASPECT = 50  # long side to short side; of longer pictures only the middle is resized


def resize(
    image: Image.Image, how: Resize | int, box: Box | None = None, *, quick: bool = False
) -> Image.Image:
    """Resize `box` of a picture (None: all of it); `crop` follows.

    If the aspect ratio is kept, the ends of a very long picture, far from what `crop` keeps, are
    omitted: 1 × 100,000 pixels would become 5 gigapixels.

    how: a number is a side in pixels, reached in OpenAI's way.
    box: the exact picture in a JPEG that was decoded at an eighth, whose sides are rounded up; it
    comes from Pillow's `draft`. Without it the picture would be stretched and shifted.
    quick: use `bicubic.quick`, for RGB pictures.
    """
    how = as_resize(how)
    box = box or (0, 0, *image.size)
    if how.mode == "squash":
        resized = (how.shorter, how.shorter)
    else:
        box = _middle(box)
        resized = _kept_aspect(box, how.shorter)
    if resized == image.size:
        return image
    if how.interpolation == "bilinear":
        return image.resize(resized, Image.Resampling.BILINEAR, box)
    return (bicubic.quick if quick else bicubic.exact)(image, resized, box)


def as_resize(how: Resize | int) -> Resize:
    """Return what a number stands for: a side in pixels, reached in OpenAI's way."""
    return how if isinstance(how, Resize) else Resize(how)


def _kept_aspect(box: Box, shorter: int) -> tuple[int, int]:
    width, height = box[2] - box[0], box[3] - box[1]
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter


def _middle(box: Box) -> Box:
    """Trim both ends by whole pixels until the ratio of the sides is MAX_ASPECT or little more."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    across = max(0, (width - MAX_ASPECT * height) // 2)
    down = max(0, (height - MAX_ASPECT * width) // 2)
    return left + across, top + down, right - across, bottom - down


def crop(image: Image.Image, how: Resize | int) -> Image.Image:
    """Return the middle (size, size)."""
    size = as_resize(how).size
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def resize_and_crop(image: Image.Image, how: Resize | int) -> Image.Image:
    """Resize and crop bit by bit as torchvision's Resize and CenterCrop do."""
    return crop(resize(image, how), how)


def to_pixels(image: Image.Image, how: Resize | int) -> NDArray[np.uint8]:
    """Return the pixels of an RGB picture, (S, S, 3), 0 to 255."""
    return np.asarray(resize_and_crop(image, how), np.uint8)


def transform(config: ModelConfig) -> "Callable[[Image.Image], torch.Tensor]":
    """Return a model's torchvision pipeline."""
    return pipeline(config.pixels, config.mean, config.std)


def pipeline(how: Resize, mean: Triple, std: Triple) -> "Callable[[Image.Image], torch.Tensor]":
    """Return a torchvision pipeline with the steps of OpenAI's.

    It maps a Pillow image of any mode to (3, S, S) float32, normalised.
    """
    from torchvision import transforms

    size = [how.shorter, how.shorter] if how.mode == "squash" else how.shorter
    composed: Callable[[Image.Image], torch.Tensor] = transforms.Compose(
        [
            transforms.Resize(size, transforms.InterpolationMode(how.interpolation)),
            transforms.CenterCrop(how.size),
            to_rgb,
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    return composed


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode."""
    return image.convert("RGB")
