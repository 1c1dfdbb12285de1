"""The quick bicubic, beside Pillow's."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clipmodel import bicubic
from clipmodel.bicubic import Box
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.preprocess import crop, resize
from clipmodel.pretrained import resolve

DATA = Path(__file__).parents[2].parent / "shared/data/preprocess"
CASES: list[tuple[tuple[int, int], tuple[int, int], Box | None]] = [
    ((640, 480), (298, 224), None),
    ((480, 641), (224, 299), None),
    ((500, 375), (298, 224), (0, 0, 499.75, 374.5)),  # a JPEG decoded at a smaller scale
    ((333, 999), (224, 672), (0.5, 100, 333, 900.25)),
    ((1600, 1200), (298, 224), None),
    ((30, 20), (336, 224), None),
    ((1, 300), (56, 2800), (0, 125, 1, 175)),
    ((3, 2), (84, 56), None),
]


def noise(size: tuple[int, int]) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def across_and_down(image: Image.Image, size: tuple[int, int], box: Box) -> Image.Image:
    """Pillow's, in the order that it has without looking at the picture's shape."""
    left, top, right, bottom = box
    narrow = bicubic.exact(image, (size[0], image.height), (left, 0, right, image.height))
    return bicubic.exact(narrow, size, (0, top, size[0], bottom))


@pytest.mark.skipif(bicubic.simd is None, reason="cykooz.resizer is not installed")
@pytest.mark.parametrize(("before", "after", "box"), CASES)
def test_few_values_are_beside_pillows(
    before: tuple[int, int], after: tuple[int, int], box: Box | None
) -> None:
    image, box = noise(before), box or (0, 0, *before)
    ours = np.asarray(bicubic.quick(image, after, box), int)
    apart = np.abs(ours - np.asarray(across_and_down(image, after, box)))
    assert ours.shape == (after[1], after[0], 3)
    assert apart.max() <= 2 and (apart > 0).mean() < 0.01
    assert apart.any()  # or it was Pillow


def test_what_is_large_is_pillows() -> None:
    for size, small in (((2400, 1800), (32, 24)), ((1, 100_000), (56, 2800))):
        image, whole = noise(size), (0.0, 0.0, *map(float, size))
        assert bicubic.quick(image, small, whole) == bicubic.exact(image, small, whole)


def test_without_the_package_all_is_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bicubic, "simd", None)
    image, whole = noise((64, 48)), (0, 0, 64, 48)
    assert bicubic.quick(image, (32, 24), whole) == bicubic.exact(image, (32, 24), whole)


@pytest.mark.skipif(not DATA.exists(), reason="no reference data here")
def test_vectors_hardly_change() -> None:
    encoder = NumpyImageEncoder(resolve("tiny"))
    size = encoder.size
    images = [Image.open(path).convert("RGB") for path in sorted(DATA.glob("*.jpg"))]
    assert len(images) > 5
    exact = np.stack([crop(resize(image, size), size) for image in images])
    quick = np.stack([crop(resize(image, size, quick=True), size) for image in images])
    cosines = (encoder.encode(exact) * encoder.encode(quick)).sum(axis=1)
    assert cosines.min() > 0.999 and cosines.mean() > 0.9999
