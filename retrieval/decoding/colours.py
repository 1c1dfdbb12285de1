"""Conversion of any of Pillow's modes to one that can be resized, and from there to sRGB."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retrieval.decoding.profiles import transform_of

Samples = NDArray[Any]  # (H, W) or (H, W, C)

FEW = 0.01  # of floats, that may lie outside of a range
BRIGHT = 4.0  # up to which floats are lights beyond white, where that is 1
DARK = 16.0  # up to which nothing is told by floats, beyond that
INFINITE = 1e30  # as a number to count with
FLOATS = (255.0, 4095.0, 65535.0)
DEPTHS = (10, 12, 16)  # bits, of 16
INTEGERS = (255, 1023, 4095)


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

    The range of integers is the first of 8 (not of 16), 10, 12, 16 and all bits that contains the
    values. That of floats is 0 to 1, beyond which a few may lie, or lights that are not much
    brighter, and are clipped; or 0 to 255, 4095 or 65535. Failing that, it is their own. Bytes are
    left alone.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        most = int(values.max(initial=0))
        return (values >> next(bits - 8 for bits in DEPTHS if most < 1 << bits)).astype(np.uint8)
    if is_float:
        values = values.astype(np.float32)
        np.nan_to_num(values, copy=False, posinf=INFINITE, neginf=-INFINITE)
        low, high = _of_floats(values)
    else:
        low, high = _of_integers(values)
        values = values.astype(np.float32)
    values -= low
    values *= 255.0 / ((high - low) or 1.0)
    return values.clip(0, 255).astype(np.uint8)


def _of_integers(values: Samples) -> tuple[float, float]:
    low, high, most = int(values.min()), int(values.max()), int(np.iinfo(values.dtype).max)
    bounds = (*INTEGERS, min(most, 65535))
    if low >= 0:
        for bound in (*bounds, most) if high > most // 2 else bounds:
            if high <= bound:
                return 0.0, float(bound)
    return float(low), float(high)


def _of_floats(values: NDArray[np.float32]) -> tuple[float, float]:
    few = FEW * values.size

    def are_within(bound: float) -> bool:
        return bool(np.count_nonzero(values > bound) <= few)

    if np.count_nonzero(values < 0) <= few:
        if are_within(BRIGHT):
            return 0.0, 1.0
        for bound in () if are_within(DARK) else FLOATS:
            if are_within(bound):
                return 0.0, bound
    low, high = (float(each) for each in np.percentile(values, (50 * FEW, 100 - 50 * FEW)))
    return low, high
