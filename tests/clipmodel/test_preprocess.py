"""Preprocessing: bit by bit what torchvision makes of the same Pillow image."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipmodel.config import ModelConfig, TextConfig, VisionConfig
from clipmodel.preprocess import resize_and_crop, to_pixels, transform

DATA = Path(__file__).parents[2].parent / "shared/data/preprocess"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CONFIG = ModelConfig(
    8,
    VisionConfig(56, 8, 8, 1, 1, 8, "gelu"),
    TextConfig(77, 49408, 8, 1, 1, 8, "gelu"),
    MEAN,
    STD,
)
SIZES = [
    (56, 56),
    (57, 56),
    (640, 480),
    (480, 641),
    (30, 20),
    (1, 300),
    (300, 1),
    (3, 2),
    (999, 77),
]


def noise(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("size", SIZES)
def test_resize_and_crop_equals_torchvision(size: tuple[int, int]) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    theirs = Compose([Resize(56, interpolation=InterpolationMode.BICUBIC), CenterCrop(56)])
    picture = noise(size)
    ours = to_pixels(picture, 56)
    assert ours.shape == (56, 56, 3) and ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, np.asarray(theirs(picture)))
    assert resize_and_crop(picture, 56).size == (56, 56)


@pytest.mark.parametrize("size", [(1, 100_000), (100_001, 1), (3, 20_000), (80, 9_001)])
def test_the_middle_of_a_very_long_picture(size: tuple[int, int]) -> None:
    picture = noise(size)
    long, short = max(size), min(size)
    middle = (long - 20 * short) // 2  # by torchvision's way only a part of it can be resized
    across, down = (middle, 0) if size[0] == long else (0, middle)
    part = picture.crop((across, down, size[0] - across, size[1] - down))
    ours, near = to_pixels(picture, 56).astype(int), to_pixels(part, 56).astype(int)
    assert ours.shape == (56, 56, 3) and np.abs(ours - near).mean() < 8
    if 56 % short == 0:
        np.testing.assert_array_equal(ours, near)


@pytest.mark.parametrize(
    "mode", ["RGB", "L", "P", "1", "CMYK", "YCbCr", "HSV", "LAB", "RGBA", "LA"]
)
def test_the_transform_equals_openais_in_every_mode(mode: str) -> None:
    from torchvision import transforms as T

    theirs = T.Compose(
        [
            T.Resize(56, interpolation=T.InterpolationMode.BICUBIC),
            T.CenterCrop(56),
            lambda image: image.convert("RGB"),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )
    rgb = noise((120, 90))
    picture = (
        rgb.convert("RGB").convert("L").convert("LA")
        if mode == "LA"
        else noise((120, 90), mode)
        if mode != "LAB"
        else Image.merge("LAB", rgb.split())
    )
    torch.testing.assert_close(transform(CONFIG)(picture), theirs(picture), atol=0, rtol=0)


def test_pixels_equal_the_reference_on_real_photos() -> None:
    if not DATA.exists():
        pytest.skip("no reference data here")
    wanted = np.load(DATA / "pixels_uint8.npz")
    pixels = wanted[wanted.files[0]]  # (7, 3, 224, 224)
    for name, theirs in zip(json.loads((DATA / "order.json").read_text()), pixels, strict=True):
        with Image.open(DATA / f"{name}.jpg") as opened:
            ours = to_pixels(opened.convert("RGB"), 224)
        np.testing.assert_array_equal(ours.transpose(2, 0, 1), theirs, err_msg=name)
