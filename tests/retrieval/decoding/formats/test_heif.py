"""HEIC: the small picture that a phone stored inside is used where it is as good."""

import io
import struct

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from retrieval.decoding import decode as decoding
from retrieval.decoding.decode import decode, thumbnail
from retrieval.decoding.plugins import boxes, heif
from retrieval.models import choice
from tests.retrieval.decoding.formats.samples import QUICK_HEIC
from tests.retrieval.small import DATA

FORMATS = DATA / "formats"
WIDE, TALL = (1024, 768), (768, 1024)


def with_small(
    picture: Image.Image, box: int = 320, orientation: int = 1, **options: object
) -> bytes:
    """A HEIC with a small picture within that many pixels."""
    written = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = pillow_heif.from_pillow(picture)
    file[0].info["thumbnails"] = [box] if box else []
    file.save(written, quality=80, exif=exif.tobytes(), enc_params=QUICK_HEIC, **options)
    return written.getvalue()


def scene(size: tuple[int, int] = WIDE) -> Image.Image:
    colours = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def taken(data: bytes, side: int, is_to_show: bool = False) -> tuple[int, int]:
    """The size of the picture that is decoded for a model of that side, or to be shown."""
    decoding.decode(data, side)  # the plugin is there
    with Image.open(io.BytesIO(data)) as opened:
        assert isinstance(opened, heif.HeifPicture)
        opened.choose(side, is_to_show=is_to_show)
        opened.load()
        return opened.size


def test_the_small_picture_is_found_by_its_reference() -> None:
    found = boxes.items(with_small(scene()))
    assert found and found.primary is not None
    [small] = boxes.small_pictures(found)
    assert (small.size, small.of_size) == ((320, 240), WIDE)


@pytest.mark.parametrize(("side", "size"), [(48, (320, 240)), (80, (320, 240)), (81, WIDE)])
def test_it_is_decoded_where_it_is_large_enough(side: int, size: tuple[int, int]) -> None:
    assert taken(with_small(scene()), side) == size


def test_without_one_all_is_decoded() -> None:
    assert taken(with_small(scene(), box=0), 96) == WIDE


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_it_is_the_same_picture_the_same_way_up(orientation: int) -> None:
    small, whole = (
        decode(with_small(scene(), box, orientation=orientation), 96) for box in (320, 0)
    )
    assert (small.width, small.height) == (whole.width, whole.height)
    assert (small.width < small.height) == (orientation in (6, 8))
    assert np.abs(small.pixels.astype(int) - whole.pixels).mean() < 3


def test_one_of_another_shape_is_not_used() -> None:
    data = bytearray(with_small(scene()))
    at = data.index(b"ispe")
    while int.from_bytes(data[at + 8 : at + 12]) != 320:
        at = data.index(b"ispe", at + 4)
    data[at + 8 : at + 12] = (240).to_bytes(4)
    assert taken(bytes(data), 96) == WIDE


def test_a_damaged_small_picture_costs_nothing() -> None:
    data = with_small(scene())
    found = boxes.items(data)
    assert found
    [item] = found.thumbnails
    at = found.thumbnails[item]
    for garbage in (b"\0" * 4, b"thmx"):
        assert taken(data[:at] + garbage + data[at + 4 :], 96) == WIDE


def test_of_one_that_cannot_be_decoded_the_whole_is_read() -> None:
    """Of Sony's cameras the decoder says that the sizes differ: it does not crop them."""
    data = bytearray(with_small(scene()))
    at = data.index(struct.pack(">4x2I", 320, 240))
    data[at + 4 : at + 12] = struct.pack(">2I", 328, 246)
    assert taken(bytes(data), 64) == WIDE
    small, whole = (decode(each, 64) for each in (bytes(data), with_small(scene(), box=0)))
    assert (small.width, small.height) == WIDE
    assert np.abs(small.pixels.astype(int) - whole.pixels).mean() < 2
    assert thumbnail(bytes(data), 100, 100).size == (100, 75)


@pytest.mark.parametrize(("side", "size"), [(240, (320, 240)), (241, WIDE)])
def test_to_be_shown_it_need_be_no_larger(side: int, size: tuple[int, int]) -> None:
    assert taken(with_small(scene()), side, is_to_show=True) == size


def test_thumbnails_come_from_it_if_it_suffices() -> None:
    data = with_small(scene(), 512)
    assert thumbnail(data, 200, 200).size == (200, 150)
    assert thumbnail(data, 960, 320).size == (427, 320)
    assert thumbnail(data, 2048, 2048).size == WIDE


@pytest.fixture(scope="module")
def encoder() -> NumpyImageEncoder:
    return NumpyImageEncoder(choice.find("tiny"))


@pytest.mark.skipif(not FORMATS.exists(), reason="no reference data")
@pytest.mark.parametrize("name", ["iphone-thumbnail-320", "iphone-thumbnail-512"])
def test_of_a_phone(name: str, encoder: NumpyImageEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """All facts are those of the whole picture, and the vector nearly is."""
    data = (FORMATS / f"{name}.heic").read_bytes()
    width = int(name.rpartition("-")[2])
    assert max(taken(data, 80)) == width
    assert (max(taken(data, encoder.size)) == width) == (encoder.size <= width // 4)
    small = decode(data, encoder.size)
    monkeypatch.setattr(heif.HeifPicture, "choose", lambda *_, **__: None)
    whole = decode(data, encoder.size)
    facts = [(each.width, each.height, each.taken_at, each.shot) for each in (small, whole)]
    assert facts[0] == facts[1]
    one, other = encoder.encode(np.stack([small.pixels, whole.pixels]))
    assert one @ other >= 0.995
