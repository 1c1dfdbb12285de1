"""Conversion of any of Pillow's modes to one that can be resized, and from there to sRGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.decoding.profiles import transform_of

Samples = NDArray[Any]  # (H, W) or (H, W, C)

FEW = 0.01  # of floats, that may lie outside of a range
TWELVE_BITS = 4095
INTEGERS = (255.0, float(TWELVE_BITS), 65535.0)


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to sRGB, with transparent parts on white."""
    transform = transform_of(image)
    if transform is None:
        return plain(image)
    return transform(plain(image, keeps_inks=True))


def plain(image: Image.Image, *, keeps_inks: bool = False) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white; colours mean what they did.

    keeps_inks: leave CMYK and LAB as they are, for a profile.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey(image)).convert("RGB")
    if keeps_inks and image.mode in ("CMYK", "LAB"):
        return image
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")  # a copy costs 1 GB
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """Convert one channel of 16 or 32 bits to (H, W) uint8; a transparent value becomes white."""
    values: Samples = np.asarray(image)
    grey = in_range(values, image.mode == "F")
    clear = image.info.get("transparency")
    if isinstance(clear, int) and values.dtype.kind in "ui":
        grey[values == clear] = 255
    return grey


def in_range(values: Samples, is_float: bool) -> NDArray[np.uint8]:
    """Scale samples to 0 to 255.

    The range is the first that contains the values: 0 to 1 (floats), 255 (not of 16 bits), 4095 or
    65535, failing that their own. A few floats outside of it are clipped. Bytes are left alone.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        if values.max(initial=0) > TWELVE_BITS:
            return (values >> 8).astype(np.uint8)
        return (values >> 4).astype(np.uint8)
    values = values.astype(np.float32)
    np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    low, high = _range(values, is_float)
    values -= low
    values *= 255.0 / ((high - low) or 1.0)
    return values.clip(0, 255).astype(np.uint8)


def _range(values: NDArray[np.float32], is_float: bool) -> tuple[float, float]:
    bounds, few = ((1.0, 255.0, 65535.0), FEW * values.size) if is_float else (INTEGERS, 0.0)
    if np.count_nonzero(values < 0) <= few:
        for bound in bounds:
            if np.count_nonzero(values > bound) <= few:
                return 0.0, bound
    if not is_float:
        return float(values.min()), float(values.max())
    low, high = (float(each) for each in np.percentile(values, (50 * FEW, 100 - 50 * FEW)))
    return low, high
