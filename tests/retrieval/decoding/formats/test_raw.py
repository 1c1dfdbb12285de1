"""Raw camera files: the stored JPEG where it suffices, else what the sensor saw."""

import numpy as np
import pytest
from PIL import Image

from retrieval.decoding.decode import decode, describe, thumbnail
from retrieval.decoding.plugins.raw_exif import is_raw
from retrieval.errors import UnreadablePicture
from tests.retrieval.decoding.formats.raw_files import dng
from tests.retrieval.decoding.formats.samples import base, written

LARGE = base().resize((320, 240), Image.Resampling.NEAREST)


def corner(data: bytes, side: int = 32) -> list[int]:
    pixels = decode(data, side).pixels
    return [int(value) for value in pixels[4, 4]]


@pytest.mark.parametrize(
    ("preview", "side", "is_used"),
    [((320, 240), 32, True), ((64, 48), 32, True), ((40, 30), 32, False), (None, 32, False)],
)
def test_the_stored_picture_is_used_where_it_is_large_enough(
    preview: tuple[int, int] | None, side: int, is_used: bool
) -> None:
    data = dng(LARGE, preview=preview, preview_colour="lime")
    decoded = decode(data, side)
    assert (decoded.format, decoded.width, decoded.height) == ("RAW", 320, 240)
    assert (np.abs(decoded.pixels.astype(int) - (0, 255, 0)).max() < 9) == is_used


def test_what_the_sensor_saw_is_developed() -> None:
    red, green, blue = corner(dng(LARGE))
    assert red > 180 and green < 90 and blue < 70
    assert thumbnail(dng(LARGE), 960, 320).size == (320, 240)  # not of half the size


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("preview", [None, (160, 120)])
def test_it_is_turned_as_the_raw_file_says(
    orientation: int, preview: tuple[int, int] | None
) -> None:
    turned = decode(dng(LARGE, preview=preview, orientation=orientation), 32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    right = decode(written(LARGE, "JPEG", exif=exif.tobytes(), quality=95), 32)
    assert (turned.width, turned.height) == (right.width, right.height)
    assert np.abs(turned.pixels.astype(int) - right.pixels).mean() < 25


def test_a_stored_picture_that_is_upright_already_is_not_turned_again() -> None:
    upright = dng(LARGE, preview=(120, 160), orientation=8)
    assert np.abs(np.subtract(corner(upright), (200, 60, 40))).max() < 12


def test_its_facts_are_the_raw_files_own() -> None:
    _, shot = describe(dng(LARGE))
    assert (shot.camera, shot.exposure) == ("Maker Camera 1", 0.004)


def test_other_tiffs_are_no_raw_files() -> None:
    assert is_raw(dng(LARGE))
    for options in ({}, {"compression": "jpeg"}, {"compression": "tiff_lzw"}):
        data = written(LARGE, "TIFF", **options)
        assert not is_raw(data) and decode(data, 32).format == "TIFF"


def test_without_pixels_the_stored_picture_is_better_than_nothing() -> None:
    data = dng(LARGE, preview=(40, 30), preview_colour="lime")
    cut = bytearray(data)
    at = data.index((259).to_bytes(2, "little") + b"\3\0\1\0\0\0", 2048)
    cut[at + 8 : at + 10] = (34892).to_bytes(2, "little")  # a compression that nobody has
    decoded = decode(bytes(cut), 32)
    assert np.abs(decoded.pixels.astype(int) - (0, 255, 0)).max() < 9
    no_preview = bytearray(dng(LARGE))
    no_preview[at + 8 : at + 10] = (34892).to_bytes(2, "little")
    with pytest.raises(UnreadablePicture):
        decode(bytes(no_preview), 32)
