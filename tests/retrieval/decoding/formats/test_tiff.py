"""TIFF pyramids: of several sizes of a picture, the smallest that suffices is decoded."""

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from retrieval.decoding.decode import decode
from tests.retrieval.decoding.formats.samples import base

LARGE = (256, 192)


def pyramid(*sizes: tuple[int, int], kind: int = 1, colours: str = "lime") -> bytes:
    """A picture, and behind it pages of these sizes in another colour, so that one sees them."""
    stream = io.BytesIO()
    pages = [Image.new("RGB", size, colours) for size in sizes]
    with TiffImagePlugin.AppendingTiffWriter(stream, new=True) as file:
        for page in (base().resize(LARGE), *pages):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            if page.size != LARGE:
                tags[254] = kind
            page.save(file, "TIFF", tiffinfo=tags)
            file.newFrame()
    return stream.getvalue()


def is_lime(data: bytes, side: int) -> bool:
    decoded = decode(data, side)
    assert (decoded.format, decoded.width, decoded.height) == ("TIFF", *LARGE)
    return bool(np.abs(decoded.pixels.astype(int) - (0, 255, 0)).max() < 3)


@pytest.mark.parametrize(
    ("sizes", "side", "is_used"),
    [
        (((128, 96), (64, 48)), 48, True),
        (((128, 96), (64, 48)), 96, True),
        (((128, 96), (64, 48)), 97, False),
        (((128, 64),), 32, False),  # of another shape
        ((), 32, False),
    ],
)
def test_a_reduced_page_is_used_where_it_is_large_enough(
    sizes: tuple[tuple[int, int], ...], side: int, is_used: bool
) -> None:
    assert is_lime(pyramid(*sizes), side) == is_used


def test_other_pages_are_other_pictures() -> None:
    assert not is_lime(pyramid((128, 96), kind=0), 32)
    assert not is_lime(pyramid((128, 96), kind=2), 32)
