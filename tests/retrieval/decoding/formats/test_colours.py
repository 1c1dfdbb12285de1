"""Colours as they are meant: profiles, and what PNG, AVIF and JPEG XL say in numbers."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from retrieval.decoding import profiles
from retrieval.decoding.decode import decode, thumbnail
from retrieval.decoding.profiles import LINEAR, PQ, Meaning, made, meant
from tests.retrieval.decoding.formats.samples import base, written
from tests.retrieval.small import DATA

CASES = DATA / "cases"
SIDE = 48
P3 = made(meant(12, 13))
BLUE = (30, 60, 200)


def pixels(data: bytes) -> np.ndarray[tuple[int, int, int], np.dtype[np.int64]]:
    return decode(data, SIDE).pixels.astype(int)


def png_with(picture: Image.Image, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG with chunks after its header."""
    data = written(picture, "PNG")
    made = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return data[:33] + made + data[33:]


@pytest.mark.skipif(not CASES.exists(), reason="no reference data")
@pytest.mark.parametrize(
    ("name", "right", "within"),
    [
        ("icc-prophoto.png", "reference.png", 2.0),
        ("jpeg-without-eoi.jpg", "reference.jpg", 0.0),
        ("tiff-float-one-sample-1.02.tif", "reference-grey.png", 0.1),
        ("png-grey16-transparent.png", "png-grey16-transparent.reference.png", 0.0),
    ],
)
def test_cases(name: str, right: str, within: float) -> None:
    off = pixels((CASES / name).read_bytes()) - pixels((CASES / right).read_bytes())
    assert np.abs(off).mean() <= within


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF", "HEIF"])
def test_a_profile_is_applied(format: str) -> None:
    expected = profiles._of_profile(P3, "RGB")
    assert expected
    right = pixels(written(expected(base()), "PNG"))
    off = pixels(written(base(), format, icc_profile=P3, quality=95)) - right
    assert np.abs(off).mean() < 4
    shown = np.asarray(thumbnail(written(base(), format, icc_profile=P3, quality=95), 48, 48), int)
    assert np.abs(shown[4, 4] - right[4, 4]).max() < 12


def test_what_is_srgb_is_left_alone() -> None:
    for profile in (
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        made(meant(1, 13)),
    ):
        plain, with_profile = (pixels(written(base(), "PNG", **options)) for options in
                               ({}, {"icc_profile": profile}))  # fmt: skip
        assert (plain == with_profile).all()


@pytest.mark.parametrize("profile", [b"", b"nonsense", bytes(300), P3[:200], P3[:128] + bytes(400)])
def test_a_damaged_profile_costs_nothing(profile: bytes) -> None:
    assert (
        pixels(written(base(), "PNG", icc_profile=profile)) == pixels(written(base(), "PNG"))
    ).all()


def test_profiles_of_other_modes_are_ignored() -> None:
    data = written(base().convert("CMYK"), "TIFF", icc_profile=P3)
    assert (pixels(data) == pixels(written(base().convert("CMYK"), "TIFF"))).all()


def test_grey_and_cmyk_have_profiles_as_well() -> None:
    linear = made(Meaning(gamma=1.0))
    grey = written(Image.new("L", (64, 48), 55), "PNG", icc_profile=linear)
    assert np.abs(pixels(grey) - 128).max() <= 2
    with pytest.raises(AssertionError):  # and without it, it is what it was
        assert np.abs(pixels(written(Image.new("L", (64, 48), 55), "PNG")) - 128).max() <= 2


# -- in numbers ----------------------------------------------------------------------------------


def test_png_cicp() -> None:
    as_p3 = png_with(base(), (b"cICP", bytes((12, 13, 0, 1))))
    assert np.abs(pixels(as_p3) - pixels(written(base(), "PNG", icc_profile=P3))).max() <= 1
    as_srgb = png_with(base(), (b"cICP", bytes((1, 13, 0, 1))))
    assert (pixels(as_srgb) == pixels(written(base(), "PNG"))).all()


def test_png_gamma() -> None:
    light = png_with(Image.new("RGB", (64, 48), (55, 55, 55)), (b"gAMA", (100_000).to_bytes(4)))
    assert np.abs(pixels(light) - 128).max() <= 2
    usual = png_with(base(), (b"gAMA", (45_455).to_bytes(4)))
    assert (pixels(usual) == pixels(written(base(), "PNG"))).all()
    srgb = png_with(base(), (b"sRGB", b"\0"), (b"gAMA", (100_000).to_bytes(4)))
    assert (pixels(srgb) == pixels(written(base(), "PNG"))).all()


def test_highlights_of_hdr_are_compressed_not_cut() -> None:
    values = np.linspace(0, 1, 256)
    for transfer in (PQ, profiles.HLG):
        light = profiles.linear(values, Meaning(transfer=transfer))
        assert light[0] == pytest.approx(0, abs=1e-6) and light.max() <= 1
        assert (np.diff(light) >= -1e-9).all()
    white = profiles.linear(np.array([0.58]), Meaning(transfer=PQ))  # 203 candelas
    assert 0.6 < white[0] < 0.95
    assert (profiles.linear(values, Meaning(transfer=LINEAR)) == values).all()


def test_adobe_rgb_that_only_exif_mentions() -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03", 2: b"0100"}})
    with_profile = written(base(), "PNG", icc_profile=made(profiles.ADOBE_RGB))
    in_exif = written(base(), "JPEG", quality=95, subsampling=0, exif=tags.tobytes())
    assert np.abs(pixels(in_exif) - pixels(with_profile)).mean() < 2
    tags.get_ifd(0x8769)[0xA001] = 1  # sRGB
    usual = written(base(), "JPEG", quality=95, exif=tags.tobytes())
    assert (pixels(usual) == pixels(written(base(), "JPEG", quality=95))).all()


# -- depths --------------------------------------------------------------------------------------


def test_twelve_bits_in_sixteen() -> None:
    ramp = np.tile(np.linspace(0, 4095, 64), (48, 1)).astype(np.uint16)
    row = pixels(written(Image.fromarray(ramp), "TIFF"))[SIDE // 2]
    assert row[0].max() < 60 and row[-1].min() > 190  # the middle of it, on 48 × 48


@pytest.mark.parametrize("outlier", [1.02, -0.01, 40.0])
def test_a_few_floats_out_of_range_darken_nothing(outlier: float) -> None:
    floats = np.tile(np.linspace(0, 1, 64), (48, 1)).astype(np.float32)
    right = pixels(written(Image.fromarray(floats), "TIFF"))
    floats[0, 63] = outlier
    assert np.abs(pixels(written(Image.fromarray(floats), "TIFF")) - right).mean() < 1


# -- JPEGs that end too early --------------------------------------------------------------------


def test_a_jpeg_that_ends_too_early_is_read_as_far_as_it_goes() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8))
    data = written(noise, "JPEG", quality=80)
    assert not decode(data, SIDE).is_truncated
    cut = decode(data[: len(data) * 9 // 10], SIDE)
    assert cut.is_truncated and (cut.width, cut.height) == (128, 96)
    off = np.abs(cut.pixels[: SIDE // 2].astype(int) - decode(data, SIDE).pixels[: SIDE // 2])
    assert off.mean() < 1
    assert thumbnail(data[: len(data) * 9 // 10], 40, 40).size == (40, 30)


def test_of_which_most_is_missing_is_a_failure() -> None:
    from retrieval.errors import UnreadablePicture

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8))
    data = written(noise, "JPEG", quality=80)
    with pytest.raises(UnreadablePicture, match="ends too early"):
        decode(data[: len(data) // 3], SIDE)
