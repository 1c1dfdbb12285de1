"""Decoding: every mode comes out as it looks, upright; whatever is wrong is one sentence."""

import io
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from clipmodel.config import Resize
from clipmodel.preprocess import to_pixels
from retrieval.decoding.content import digest_of, read
from retrieval.decoding.decode import decode, thumbnail
from retrieval.decoding.limits import MAX_BYTES
from retrieval.errors import UnreadablePicture
from tests.retrieval.decoding.formats.samples import written
from tests.retrieval.small import DATA

SIZE = 32
BLUE, WHITE = (30, 60, 200), (255, 255, 255)
ORIENTATION, MAKER, EXIF, TAKEN, OFFSET = 0x0112, 0x010F, 0x8769, 0x9003, 0x9011


def saved(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def pixels(data: bytes, size: int = SIZE) -> NDArray[np.uint8]:
    decoded = decode(data, size)
    assert decoded.pixels.shape == (size, size, 3) and decoded.pixels.dtype == np.uint8
    return decoded.pixels


def assert_all(data: bytes, colour: tuple[int, int, int], within: int = 3) -> None:
    off = np.abs(pixels(data).astype(int) - colour).max()
    assert off <= within, off


def ramp(dtype: str, top: float) -> NDArray[np.generic]:
    """From black on the left to white on the right."""
    return np.tile(np.linspace(0, top, 64), (64, 1)).astype(dtype)


# -- modes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "LAB"])
def test_a_colour_is_the_same_in_every_mode(mode: str) -> None:
    plain = Image.new("RGB", (50, 40), BLUE)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(plain, *profiles, outputMode="LAB")
        assert image is not None
    else:
        image = plain.quantize() if mode == "P" else plain.convert(mode)
    within = 8 if mode == "LAB" else 3  # eight bits of LAB are coarse
    assert_all(saved(image, "TIFF"), BLUE, within)


def test_a_cmyk_jpeg() -> None:
    assert_all(saved(Image.new("RGB", (50, 40), BLUE).convert("CMYK"), "JPEG"), BLUE, within=6)


@pytest.mark.parametrize(
    ("array", "format"),
    [
        (ramp("uint8", 255), "PNG"),
        (ramp("uint16", 65535), "PNG"),
        (ramp("uint16", 65535), "TIFF"),
        (ramp("int32", 65535), "TIFF"),
        (ramp("int32", 255), "TIFF"),
        (ramp("float32", 1), "TIFF"),
        (ramp("float32", 255), "TIFF"),
        (ramp("float32", 1e6), "TIFF"),
        (ramp("float32", 2000) - 1000, "TIFF"),
    ],
)
def test_grey_of_any_depth_is_a_ramp_from_black_to_white(
    array: NDArray[np.generic], format: str
) -> None:
    row = pixels(saved(Image.fromarray(array), format))[SIZE // 2]
    assert row[0].max() < 12 and row[-1].min() > 243
    assert (np.diff(row[:, 0].astype(int)) >= 0).all() and (row == row[:, :1]).all()


def test_what_is_not_a_number_is_black() -> None:
    array = ramp("float32", 1)
    array[:, :32] = np.nan
    assert pixels(saved(Image.fromarray(array), "TIFF"))[:, :10].max() == 0


def test_one_bit() -> None:
    assert_all(saved(Image.new("1", (40, 40), 1)), WHITE)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "TIFF"])
def test_what_is_transparent_lies_on_white(format: str) -> None:
    image = Image.new("RGBA", (40, 40), (*BLUE, 0))
    options = {"lossless": True} if format == "WEBP" else {}
    assert_all(saved(image, format, **options), WHITE)


def test_transparency_of_palettes_and_of_single_colours() -> None:
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([0, 0, 0, *BLUE])
    assert_all(saved(palette, transparency=1), WHITE)
    assert_all(saved(palette, transparency=0), BLUE)
    assert_all(saved(Image.new("RGB", (40, 40), BLUE), transparency=BLUE), WHITE)
    assert_all(saved(Image.new("L", (40, 40), 7), transparency=7), WHITE)
    assert_all(saved(Image.new("LA", (40, 40), (0, 128))), (127, 127, 127))


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_moving_pictures_the_first_frame(format: str) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in (BLUE, (0, 255, 0), (255, 0, 0))]
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert_all(data, BLUE)


FORMATS = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "JPEG2000", "PPM", "AVIF", "TGA", "HEIF"]


@pytest.mark.parametrize("format", FORMATS)
def test_formats(format: str) -> None:
    decoded = decode(written(Image.new("RGB", (64, 48), BLUE), format), SIZE)
    assert (decoded.format, decoded.width, decoded.height) == (format, 64, 48)
    assert np.abs(decoded.pixels.astype(int) - BLUE).max() <= 6


# -- what a file says of itself ------------------------------------------------------------------


@pytest.mark.skipif(not (DATA / "preprocess").exists(), reason="no reference data")
@pytest.mark.parametrize("shorter", [345, 701, 1405, 2807])  # decoded whole, at 1/2, 1/4, 1/8
def test_a_jpeg_decoded_smaller_is_hardly_another_picture(shorter: int) -> None:
    for path in sorted((DATA / "preprocess").glob("*.jpg"))[2:5]:  # none of them too long
        photo = Image.open(path)
        times = shorter / min(photo.size)
        large = photo.resize((round(photo.width * times), round(photo.height * times)))
        data = saved(large, "JPEG", quality=92)
        whole = to_pixels(Image.open(io.BytesIO(data)), 224).astype(int)
        assert np.abs(decode(data, 224).pixels - whole).mean() < 1


@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize(
    "how", [Resize(32, "squash", "bilinear"), Resize(32, edge=40), Resize(32, "squash", edge=48)]
)
def test_pictures_are_resized_as_a_model_wants_them(how: Resize, orientation: int) -> None:
    ramps = np.stack(np.broadcast_arrays(*np.ix_(range(0, 180, 2), range(0, 240, 2))), axis=2)
    photo = Image.fromarray(np.dstack([ramps, ramps[..., :1]]).astype(np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = saved(photo, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        upright = to_pixels(ImageOps.exif_transpose(opened), how).astype(int)
    assert np.abs(decode(data, how).pixels - upright).max() <= 2


@pytest.mark.parametrize("size", [(1800, 1200), (1201, 2407), (1343, 1343), (2000, 1344)])
def test_a_large_picture_is_the_same_by_way_of_a_smaller_one(size: tuple[int, int]) -> None:
    few = np.random.default_rng(3).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    large = Image.fromarray(few).resize(size, Image.Resampling.BICUBIC)
    for side in (32, 96, 224):
        off = pixels(saved(large, "BMP"), side).astype(int) - to_pixels(large, side)
        assert np.abs(off).mean() < 1


@pytest.mark.skipif(not (DATA / "orientation").exists(), reason="no reference data")
def test_all_orientations_are_one_picture() -> None:
    upright = decode((DATA / "orientation/Landscape_1.jpg").read_bytes(), 64)
    for number in range(9):
        turned = decode((DATA / f"orientation/Landscape_{number}.jpg").read_bytes(), 64)
        assert (turned.width, turned.height) == (upright.width, upright.height)
        assert np.abs(turned.pixels.astype(int) - upright.pixels).mean() < 2, number


@pytest.mark.parametrize("said", [0, 9, 65535])
def test_an_orientation_that_is_none_is_ignored(said: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = said
    decoded = decode(saved(Image.new("RGB", (64, 48)), "JPEG", exif=exif), SIZE)
    assert (decoded.width, decoded.height) == (64, 48)


@pytest.mark.parametrize(
    ("taken", "offset", "expected"),
    [
        ("2023:06:01 12:34:56", None, "2023-06-01T12:34:56"),
        ("2023:06:01 12:34:56", "+02:00", "2023-06-01T12:34:56+02:00"),
        ("2023-06-01T12:34", "-03:30", "2023-06-01T12:34:00-03:30"),
        ("2023:06:01 12:34:56", "+99:00", "2023-06-01T12:34:56"),
        ("2023:06:01 12:34:56", "noon", "2023-06-01T12:34:56"),
        ("0000:00:00 00:00:00", "+02:00", None),
        ("2023:13:45 12:34:56", None, None),
        ("    :  :     :  :  ", None, None),
        ("yesterday", None, None),
    ],
)
def test_when_it_was_taken(taken: str, offset: str | None, expected: str | None) -> None:
    exif = Image.Exif()
    exif.get_ifd(EXIF)[TAKEN] = taken
    if offset:
        exif.get_ifd(EXIF)[OFFSET] = offset
    decoded = decode(saved(Image.new("RGB", (40, 40)), "JPEG", exif=exif), SIZE)
    assert decoded.taken_at == (datetime.fromisoformat(expected) if expected else None)


@pytest.mark.parametrize("at", range(8, 80, 3))
def test_exif_with_lies_fails_no_picture(at: int) -> None:
    exif = Image.Exif()
    exif[MAKER], exif[ORIENTATION] = "somebody", 6
    exif.get_ifd(EXIF)[TAKEN] = "2023:06:01 12:34:56"
    lies = bytearray(exif.tobytes())
    lies[at : at + 3] = b"\xff\xff\xff"
    decoded = decode(saved(Image.new("RGB", (64, 48), BLUE), "JPEG", exif=bytes(lies)), SIZE)
    assert {decoded.width, decoded.height} == {64, 48}


# -- scaled decoding -----------------------------------------------------------------------------


def test_a_large_jpeg_decoded_small_looks_like_one_decoded_whole() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((800, 600), Image.Resampling.BICUBIC)
    jpeg = saved(large, "JPEG", quality=95)
    small = decode(jpeg, 64)  # at 1/4
    assert (small.width, small.height) == (800, 600)
    whole = decode(saved(Image.open(io.BytesIO(jpeg)), "BMP"), 64)
    off = np.abs(small.pixels.astype(int) - whole.pixels)
    assert off.mean() < 1 and off.max() < 40


# -- bounds and failures -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html><body>no picture</body></html>", "not a picture"),
        (saved(Image.new("RGB", (99, 99), BLUE), "JPEG")[:500], "the file ends too early"),
        (saved(Image.effect_noise((99, 99), 9))[:2000], "the file ends too early"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not a picture"),
    ],
)
def test_what_is_wrong_is_one_sentence(data: bytes, reason: str) -> None:
    with pytest.raises(UnreadablePicture, match=reason) as caught:
        decode(data, SIZE)
    assert "\n" not in str(caught.value) and "0x" not in str(caught.value)


def test_pixels_are_counted_before_they_are_decoded() -> None:
    header = bytearray(saved(Image.new("L", (1, 1)), "BMP"))
    header[18:26] = (65_535).to_bytes(4, "little") * 2
    with pytest.raises(UnreadablePicture, match="pixels"):
        decode(bytes(header), SIZE)
    with pytest.raises(UnreadablePicture, match="64 × 48 pixels, more than 3,000"):
        decode(saved(Image.new("L", (64, 48))), SIZE, max_pixels=3_000)


def test_reading_takes_regular_files_of_a_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadablePicture, match="regular file"):
        read(tmp_path / "pipe.jpg")
    with pytest.raises(UnreadablePicture, match="regular file|directory"):
        read(tmp_path)
    sparse = tmp_path / "sparse.jpg"
    with sparse.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UnreadablePicture, match="more than 1,073,741,824"):
        read(sparse)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone.jpg")
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of(read(tmp_path / "a")).hex() == "cf4ab791c62b8d2b2109c90275287816"


def test_decoding_imports_no_torch() -> None:
    script = (
        "import sys, retrieval.decoding.worker_process\n"
        "from retrieval.decoding.formats import pillow_formats; pillow_formats()\n"
        "print([m for m in ('torch', 'sqlalchemy', 'faiss', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# -- thumbnails ----------------------------------------------------------------------------------


@pytest.mark.skipif(not DATA.exists(), reason="the reference data is not here")
@pytest.mark.parametrize("turn", range(9))
def test_a_thumbnail_is_upright_and_keeps_to_its_place(turn: int) -> None:
    plain, turned = (
        thumbnail((DATA / "orientation" / f"Landscape_{n}.jpg").read_bytes(), 120, 80)
        for n in (0, turn)
    )
    assert turned.mode == "RGB" and turned.size == plain.size == (120, 80)
    assert np.abs(np.asarray(turned, int) - np.asarray(plain, int)).mean() < 8
    assert not turned.info


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "I;16", "CMYK"])
def test_a_thumbnail_is_rgb_whatever_the_picture_is(mode: str) -> None:
    picture = Image.new("L" if mode == "I;16" else mode, (60, 30), 0)
    data = saved(picture.convert(mode), "TIFF" if mode == "CMYK" else "PNG")
    assert thumbnail(data, 20, 20).mode == "RGB" and thumbnail(data, 20, 20).size == (20, 10)
    assert thumbnail(data, 500, 500).size == (60, 30)


def test_what_cannot_be_a_thumbnail_is_one_sentence() -> None:
    for data in (b"", b"none", saved(Image.new("L", (64, 64)))[:60]):
        with pytest.raises(UnreadablePicture):
            thumbnail(data, 20, 20)
    with pytest.raises(UnreadablePicture, match="64 × 64"):
        thumbnail(saved(Image.new("L", (64, 64))), 20, 20, max_pixels=4_000)
