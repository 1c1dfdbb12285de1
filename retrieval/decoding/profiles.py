"""Colour profiles: what a picture's numbers mean, where they do not mean sRGB.

A profile (ICC) comes with the file, or is made here from what the file says of its colours in
numbers (ITU-T H.273): PNG's `cICP`, `gAMA` and `cHRM`, HEIF's `nclx`, JPEG XL's header. Most
pictures are sRGB, with such a profile or without any, and take no time here.
"""

import io
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Matrix = NDArray[np.float64]
Transform = Callable[[Image.Image], Image.Image]  # of one mode, to sRGB in mode RGB

# Profiles by which no colour of a coarse grid changes by more than this, of 255, count as sRGB.
MAX_CHANGE = 2
GRID = 5  # values of each channel that are tried
INKS = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab ": "LAB"}  # ICC's names -> Pillow's

# Chromaticities x, y of red, green, blue and white, by H.273's number for them.
D65, DCI = (0.3127, 0.3290), (0.314, 0.351)
BT_709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), D65)
PRIMARIES = {
    1: BT_709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.310, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), D65),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), DCI),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), D65),
}
LINEAR, SRGB, PQ, HLG = 8, 13, 16, 18  # transfer characteristics; all others look like sRGB's
GAMMAS = {4: 2.2, 5: 2.8}
WHITE_NITS = 203.0  # of diffuse white in PQ (ITU-R BT.2408); highlights above are compressed
PEAK = 1000.0 / WHITE_NITS  # of a picture, where white is 1
KNEE = 0.7  # below it, nothing is compressed


class Meaning(NamedTuple):
    """The colours of a picture in numbers."""

    primaries: tuple[tuple[float, float], ...] = BT_709
    transfer: int = SRGB
    gamma: float | None = None  # in place of `transfer`


ADOBE_RGB = Meaning(((0.64, 0.33), (0.21, 0.71), (0.15, 0.06), D65), gamma=2.19921875)


def meant(primaries: int, transfer: int) -> Meaning:
    """Return the meaning of H.273's numbers; unknown ones mean sRGB's."""
    return Meaning(PRIMARIES.get(primaries, BT_709), transfer, GAMMAS.get(transfer))


def transform_of(image: Image.Image) -> Transform | None:
    """Return what turns a picture's colours into sRGB; None if they are, or nothing is known.

    It takes the modes RGB, L, CMYK or LAB, as `colours.plain` returns them.
    """
    info = image.info
    if image.mode == "LAB":
        return _of_lab()
    if profile := info.get("icc_profile"):
        return _of_profile(profile, _base(image.mode)) if isinstance(profile, bytes) else None
    said = info.get("meaning")
    if not isinstance(said, Meaning) or image.mode == "CMYK":
        return None
    return _of_profile(made(said), "RGB")


def _base(mode: str) -> str:
    """Return the mode that `colours.plain` makes of another."""
    if mode in ("CMYK", "LAB"):
        return mode
    return "L" if mode in ("1", "L", "LA", "La") or mode[0] in "IF" else "RGB"


@lru_cache(maxsize=64)
def _of_profile(profile: bytes, mode: str) -> Transform | None:
    """Return the transform of a profile; None if it changes nothing, or is none for this mode."""
    from PIL import ImageCms  # LittleCMS, which most pictures do without

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        inks = INKS.get(opened.profile.xcolor_space)
        if inks == "RGB" and mode == "L":
            mode = "RGB"
        if inks != mode:
            return None
        srgb = ImageCms.createProfile("sRGB")
        if mode == "L":
            return _of_grey(opened)
        transform = ImageCms.buildTransform(opened, srgb, mode, "RGB")
        if mode == "RGB" and _changes(transform) <= MAX_CHANGE:
            return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # damaged, and of no use to anyone
    return lambda image: _applied(transform, image.convert(mode))


def _of_grey(profile: object) -> Transform | None:
    """Return the transform of a grey profile.

    LittleCMS is asked for all 256 greys once, and the rest is a table.
    """
    from PIL import ImageCms

    greys = Image.frombytes("L", (256, 1), bytes(range(256)))
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(profile, srgb, "L", "RGB")  # type: ignore[arg-type]
    table = np.asarray(_applied(transform, greys)).reshape(256, 3)[:, 1]
    if np.abs(table.astype(int) - np.arange(256)).max() <= MAX_CHANGE:
        return None
    said = table.tolist()
    return lambda image: image.convert("L").point(said).convert("RGB")


def _applied(transform: object, image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)  # type: ignore[arg-type]
    assert converted is not None  # only in-place conversion returns None
    return converted


def _changes(transform: object) -> int:
    """Return the most that a transform changes a channel of a colour, of 255."""
    steps = np.linspace(0, 255, GRID).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    after = np.asarray(_applied(transform, Image.fromarray(grid)), int)
    return int(np.abs(after - grid).max())


@lru_cache(maxsize=1)
def _of_lab() -> Transform:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
    return lambda image: _applied(transform, image)


# -- profiles made from numbers ------------------------------------------------------------------

D50 = np.array([0.9642, 1.0, 0.8249])  # XYZ of the white of all profiles (ICC.1)
BRADFORD = np.array(  # XYZ -> what the eye adapts to white in (ICC.1, annex E)
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
CURVE = 1024  # samples


@lru_cache(maxsize=64)
def made(said: Meaning) -> bytes:
    """Return an ICC profile (version 2) of these colours: three primaries and one curve."""
    curve = np.round(linear(np.linspace(0, 1, CURVE), said) * 65535).astype(">u2")
    tone = struct.pack(">4sxxxxI", b"curv", CURVE) + curve.tobytes()
    columns = _to_d50(said.primaries)
    tags = [(b"wtpt", _xyz(D50))]
    for name, column in zip((b"r", b"g", b"b"), columns.T, strict=True):
        tags += [(name + b"XYZ", _xyz(column)), (name + b"TRC", tone)]
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags:
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = at + len(body)
    head = struct.pack(">I4xI4s4s4s", size, 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head = head + bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *_fixed(D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def linear(values: NDArray[np.float64], said: Meaning) -> NDArray[np.float64]:
    """Convert encoded values, 0 to 1, to linear light where white is 1; highlights compressed."""
    if said.gamma:
        return np.asarray(values**said.gamma)
    if said.transfer == LINEAR:
        return values
    if said.transfer == PQ:  # SMPTE ST 2084
        power = values ** (1 / 78.84375)
        light = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        return _compressed(10_000 / WHITE_NITS * light ** (1 / 0.1593017578125))
    if said.transfer == HLG:  # ARIB STD-B67, at a system gamma of 1.2
        low, high = values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12
        return _compressed(PEAK * np.where(values <= 0.5, low, high) ** 1.2)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _compressed(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit light of up to PEAK into 0 to 1: straight up to KNEE, and from there logarithmic."""
    above = np.log1p(np.maximum(light - KNEE, 0)) / np.log1p(PEAK - KNEE)
    return np.minimum(np.where(light <= KNEE, light, KNEE + (1 - KNEE) * above), 1.0)


def _to_d50(primaries: tuple[tuple[float, float], ...]) -> Matrix:
    """Return XYZ of red, green and blue as columns, (3, 3), adapted from their white to D50."""
    x, y = np.array(primaries, float).T
    xyz = np.stack([x / y, np.ones(4), (1 - x - y) / y])  # (3, red green blue white)
    columns = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    eye = (BRADFORD @ D50) / (BRADFORD @ xyz[:, 3])
    return np.asarray(np.linalg.solve(BRADFORD, eye[:, None] * (BRADFORD @ columns)))


def _fixed(values: NDArray[np.float64]) -> list[int]:
    return [round(float(value) * 65536) for value in values]


def _xyz(values: NDArray[np.float64]) -> bytes:
    return struct.pack(">4sxxxx3i", b"XYZ ", *_fixed(values))
