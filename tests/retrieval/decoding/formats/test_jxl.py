"""JPEG XL: size, colours and orientation by its header; what came from a JPEG is read as that."""

import numpy as np
import pytest
from PIL import Image

imagecodecs = pytest.importorskip("imagecodecs")

from retrieval.decoding import profiles  # noqa: E402
from retrieval.decoding.decode import decode  # noqa: E402
from retrieval.decoding.opening import opened  # noqa: E402
from retrieval.decoding.plugins.jxl_header import header  # noqa: E402
from retrieval.decoding.profiles import Meaning  # noqa: E402
from retrieval.errors import UnreadablePicture  # noqa: E402
from tests.retrieval.decoding.formats.samples import base, exif, sample, written  # noqa: E402
from tests.retrieval.small import DATA  # noqa: E402

FORMATS = DATA / "formats"


def encoded(picture: Image.Image, **options: object) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(np.asarray(picture), **options))


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (1, 1), (333, 7), (1920, 1080), (300, 2)])
@pytest.mark.parametrize("options", [{"lossless": True}, {"level": 90}])
def test_the_header_says_the_size(size: tuple[int, int], options: dict[str, object]) -> None:
    said = header(encoded(Image.new("RGB", size), **options))
    assert (said.width, said.height, said.bits) == (*size, 8)
    assert said.is_xyb == ("level" in options)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_every_mode(mode: str) -> None:
    data = encoded(base().convert(mode), lossless=True)
    right = decode(written(base().convert(mode), "PNG"), 32).pixels.astype(int)
    assert np.abs(decode(data, 32).pixels - right).max() <= 1


def test_sixteen_bits_and_floats() -> None:
    grey = np.asarray(base().convert("L"))
    right = decode(written(base().convert("L"), "PNG"), 32).pixels.astype(int)
    light = profiles.linear(grey / 255, Meaning())  # the encoder takes both as linear
    for pixels in ((light * 65535).astype(np.uint16), light.astype(np.float32)):
        data = bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
        assert np.abs(decode(data, 32).pixels - right).max() <= 6


def test_what_came_from_a_jpeg_is_read_as_that_jpeg() -> None:
    jpeg = sample("JPEG", 6)
    whole, back = decode(jpeg, 16), decode(sample("JXL", 6), 16)
    assert (back.pixels == whole.pixels).all() and back.taken_at == whole.taken_at
    assert (back.width, back.height) == (48, 64)


def test_exif_in_a_box() -> None:
    bare = encoded(base(), lossless=True)
    box = b"Exif" + bytes(4) + exif().removeprefix(b"Exif\0\0")
    signature = bytes.fromhex("0000000c4a584c200d0a870a00000014667479706a786c20000000006a786c20")
    file = signature + (4 + len(box)).to_bytes(4) + box
    file += (8 + len(bare)).to_bytes(4) + b"jxlc" + bare
    assert decode(file, 32).taken_at is not None


def test_what_is_cut_off_is_one_sentence() -> None:
    data = encoded(base(), lossless=True)
    for part in (2, 4, 30, len(data) // 2):
        with pytest.raises(UnreadablePicture, match="JPEG XL"):
            decode(data[:part], 32)


def test_pixels_are_counted_before_they_are_decoded() -> None:
    with pytest.raises(UnreadablePicture, match="64 × 48 pixels, more than 3,000"):
        decode(encoded(base()), 32, max_pixels=3_000)


@pytest.mark.skipif(not FORMATS.exists(), reason="no reference data")
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("animation", (128, 128)),
        ("cafe", (1280, 1600)),
        ("grey-from-jpeg", (200, 200)),
        ("oriented", (606, 500)),
    ],
)
def test_of_other_programs(name: str, size: tuple[int, int]) -> None:
    data = (FORMATS / f"{name}.jxl").read_bytes()
    decoded = decode(data, 64)
    assert (decoded.format, decoded.width, decoded.height) == ("JXL", *size)
    with opened(data) as image:
        image.load()
        whole = np.asarray(image.convert("RGB").resize((8, 8), Image.Resampling.BOX))
    assert whole.std() > 20
