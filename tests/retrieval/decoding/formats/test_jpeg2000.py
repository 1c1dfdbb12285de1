"""JPEG 2000: of its sizes, the smallest that suffices is decoded."""

import io

import numpy as np
import pytest
from PIL import Image

from clipmodel.preprocess import to_pixels
from retrieval.decoding.decode import decode, thumbnail
from retrieval.decoding.opening import opened
from retrieval.decoding.plugins.jpeg2000 import Jpeg2000Picture
from tests.retrieval.decoding.formats.samples import written

SIZE = (401, 300)


def scene(levels: int = 5) -> bytes:
    few = np.random.default_rng(5).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    large = Image.fromarray(few).resize(SIZE, Image.Resampling.BICUBIC)
    return written(large, "JPEG2000", num_resolutions=levels + 1)


def taken(data: bytes, side: int, is_to_show: bool = False) -> tuple[int, int]:
    decode(data, side)  # the plugin is there
    with opened(data) as image:
        assert isinstance(image, Jpeg2000Picture)
        image.choose(side, is_to_show=is_to_show)
        image.load()
        return image.size


@pytest.mark.parametrize(
    ("side", "size"), [(51, SIZE), (50, (201, 150)), (25, (101, 75)), (12, (51, 38))]
)
def test_it_is_decoded_at_a_half_or_a_quarter(side: int, size: tuple[int, int]) -> None:
    assert taken(scene(), side) == size


def test_to_be_shown_it_need_be_no_larger() -> None:
    assert taken(scene(), 150, is_to_show=True) == (201, 150)
    assert thumbnail(scene(), 200, 200).size == (200, 150)


def test_it_is_not_halved_more_often_than_its_file_says() -> None:
    assert taken(scene(levels=1), 12) == (201, 150)
    assert taken(scene(levels=0), 12) == SIZE


def test_it_is_hardly_another_picture() -> None:
    whole = Image.open(io.BytesIO(scene())).convert("RGB")
    decoded = decode(scene(), 48)
    assert (decoded.width, decoded.height) == SIZE
    assert np.abs(decoded.pixels.astype(int) - to_pixels(whole, 48)).mean() < 2
