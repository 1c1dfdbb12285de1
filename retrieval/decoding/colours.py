"""Conversion of any of Pillow's modes to RGB."""

import numpy as np
from PIL import Image


def rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_grey(image)).convert("RGB")
    if image.mode == "LAB":
        return _from_lab(image)
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")  # a copy costs 1 GB
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(rgba, mask=rgba)
        return white
    return image.convert("RGB")


def _grey(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Convert one channel of 16 or 32 bits to (H, W) uint8.

    The range is the type's if it has one; otherwise the first of 0..1, 0..255 and 0..65535 that
    contains the values, or failing that from the lowest to the highest.
    """
    values = np.asarray(image)
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    values = values.astype(np.float32)
    np.nan_to_num(values, copy=False, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    bounds = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    if low >= 0 and high <= bounds[-1]:
        low, high = 0.0, next(bound for bound in bounds if high <= bound)
    values -= low
    values *= 255.0 / ((high - low) or 1.0)
    return values.astype(np.uint8)


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # LittleCMS, for a handful of TIFFs

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transformed = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert transformed is not None  # only in-place conversion returns None
    return transformed
