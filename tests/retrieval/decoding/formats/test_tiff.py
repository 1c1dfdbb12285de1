"""TIFF pyramids: of several sizes of a picture, the smallest that suffices is decoded."""

import io

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from retrieval.decoding.decode import decode
from tests.retrieval.decoding.formats.samples import base, written

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


# -- samples that Pillow has no mode for ---------------------------------------------------------


def stored(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], **options: object) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs")
    return bytes(imagecodecs.tiff_encode(values, **options))


def is_base(data: bytes, within: float = 1.0) -> bool:
    decoded = decode(data, 48)
    right = decode(written(base(), "PNG"), 48).pixels.astype(int)
    return bool(np.abs(decoded.pixels - right).max() <= within)


@pytest.mark.parametrize("options", [{}, {"tile": (32, 16)}, {"rowsperstrip": 7}])
@pytest.mark.parametrize(
    ("compression", "predictor", "order"),
    [
        (None, None, "<"),
        ("deflate", None, "<"),
        ("deflate", True, ">"),
        ("lzw", True, "<"),
    ],
)
@pytest.mark.parametrize("type", ["f2", "f4", "f8", "u4"])
def test_colours_of_many_bits(
    type: str,
    compression: str | None,
    predictor: bool | None,
    order: str,
    options: dict[str, object],
) -> None:
    colours = np.asarray(base())
    values = colours * np.uint32(257) if type == "u4" else (colours / 255).astype(type)
    for plan in ("contig", "separate"):
        given = values if plan == "contig" else np.moveaxis(values, 2, 0)
        data = stored(
            np.ascontiguousarray(given),
            photometric="rgb",
            planarconfig=plan,
            compression=compression,
            predictor=predictor,
            byteorder=order,
            **options,
        )
        assert is_base(data)
