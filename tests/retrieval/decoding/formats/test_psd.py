"""Photoshop files of every depth: the merged picture, and the facts that Pillow overlooks."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from retrieval.decoding.decode import decode, describe, thumbnail
from retrieval.errors import UnreadablePicture
from tests.retrieval.decoding.formats.samples import LINEAR, base, exif, psd, written

SIDE = 48


def off(data: bytes, picture: Image.Image) -> float:
    decoded = decode(data, SIDE)
    assert (decoded.format, decoded.width, decoded.height) == ("PSD", *picture.size)
    right = decode(written(picture, "PNG"), SIDE).pixels.astype(int)
    return float(np.abs(decoded.pixels - right).max())


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_every_depth_is_the_same_picture(bits: int, is_packed: bool, is_large: bool) -> None:
    data = psd(base(), bits, is_packed=is_packed, is_large=is_large)
    assert off(data, base()) <= 1
    assert thumbnail(data, 16, 16).size == (16, 12)


@pytest.mark.parametrize("bits", [8, 16])
def test_every_mode_is_the_same_picture(bits: int) -> None:
    grey, inks = base().convert("L"), base().convert("CMYK")
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.profileToProfile(base(), *profiles, outputMode="LAB")
    assert lab is not None
    assert off(psd(grey, bits), grey.convert("RGB")) <= 1
    assert off(psd(inks, bits), inks.convert("RGB")) <= 1
    assert off(psd(lab, bits), base()) <= 6


def test_its_exif_is_read_but_it_is_upright_already() -> None:
    data = psd(base(), tags=exif(6))
    facts, _ = describe(data)
    assert facts.taken_at is not None and facts.taken_from == "original"
    assert off(data, base()) == 0


def test_the_profile_of_floats_is_not_applied_twice() -> None:
    assert off(psd(base(), 32, profile=LINEAR), base()) <= 1
    assert off(psd(base(), 16, profile=LINEAR), base()) > 20


@pytest.mark.parametrize("part", [10, 26, 34, 37, 40, 500])
def test_what_is_cut_off_is_one_sentence(part: int) -> None:
    for is_packed in (False, True):
        with pytest.raises(UnreadablePicture) as caught:
            decode(psd(base(), is_packed=is_packed)[:part], SIDE)
        assert "unpack" not in str(caught.value)
