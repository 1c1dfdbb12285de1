"""Colours as they are meant: profiles, and what PNG, AVIF and JPEG XL say in numbers."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from retrieval.decoding import profiles
from retrieval.decoding.decode import decode, thumbnail
from retrieval.decoding.profiles import LINEAR, PQ, Meaning, made, meant
from tests.retrieval.decoding.formats.samples import base, written

SIDE = 48
Samples = NDArray[Any]  # (H, W) or (H, W, C)
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

COLOURS, GREYS = np.asarray(base()), np.asarray(base().convert("L"))
RIGHT, RIGHT_GREY = (written(Image.fromarray(each), "PNG") for each in (COLOURS, GREYS))
LIGHT = (GREYS / 255).astype(np.float32)
RAMP = np.tile(np.linspace(0, 1, 64), (48, 1)).astype(np.float32)


def tiff(samples: Samples, **options: object) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs")
    return bytes(imagecodecs.tiff_encode(np.ascontiguousarray(samples), **options))


def png(samples: Samples, colours: int, bits: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of rows of samples, packed if there are several in a byte. colours: PNG's number."""
    rows = b"".join(b"\0" + row.tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", *base().size, bits, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (
            *((b"IHDR", head), *chunks),
            *((b"IDAT", zlib.compress(rows)), (b"IEND", b"")),
        )
    )


def scaled(bits: int, samples: Samples = GREYS) -> NDArray[np.uint16]:
    return np.round(samples / 255 * ((1 << bits) - 1)).astype(np.uint16)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_fewer_bits_in_sixteen(bits: int) -> None:
    for samples, right in ((GREYS, RIGHT_GREY), (COLOURS, RIGHT)):
        data = tiff(scaled(bits, samples), photometric="minisblack" if samples is GREYS else "rgb")
        assert np.abs(pixels(data) - pixels(right)).mean() < 1
    grey = png(scaled(bits).astype(">u2"), 0, 16)
    assert np.abs(pixels(grey) - pixels(RIGHT_GREY)).mean() < 1


@pytest.mark.parametrize(
    "samples",
    [
        GREYS.astype(np.int16) * 128,
        GREYS.astype(np.uint32) * 257,
        GREYS.astype(np.uint32) * 0x01010101,
        LIGHT,
        LIGHT.astype(np.float64),
        LIGHT * 255,
        LIGHT * 4095,
        LIGHT * 65535,
    ],
    ids=["i16", "u32 of 16 bits", "u32", "f32", "f64", "of 8 bits", "of 12 bits", "of 16 bits"],
)
def test_numbers_of_every_kind(samples: Samples) -> None:
    assert np.abs(pixels(tiff(samples)) - pixels(RIGHT_GREY)).mean() < 1.5


@pytest.mark.parametrize("samples", [255 - GREYS, 65535 - scaled(16), 1 - LIGHT])
def test_white_may_be_zero(samples: Samples) -> None:
    data = tiff(samples, photometric="miniswhite")
    assert np.abs(pixels(data) - pixels(RIGHT_GREY)).mean() < 1


@pytest.mark.parametrize("outlier", [1.02, -0.01, 40.0, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_few_floats_out_of_range_darken_nothing(outlier: float, channels: int) -> None:
    floats = np.dstack([RAMP] * channels).squeeze()
    meaning = "rgb" if channels == 3 else "minisblack"
    right = pixels(tiff(floats, photometric=meaning))
    floats[0, 63] = outlier
    assert np.abs(pixels(tiff(floats, photometric=meaning)) - right).mean() < 1


@pytest.mark.parametrize("times", [1.3, 2.0, 3.5])
def test_lights_beyond_white_are_white(times: float) -> None:
    floats = RAMP.copy()
    floats[:, 40:] *= times
    right = pixels(tiff(floats.clip(0, 1)))
    assert np.abs(pixels(tiff(floats)) - right).mean() < 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_grey_of_any_depth_becomes_white(bits: int) -> None:
    few = (GREYS >> (8 - bits)).astype(np.uint8) if bits < 8 else GREYS
    clear = int(few[0, 0])
    right = few.astype(int) * 255 // (min(1 << bits, 256) - 1)
    right[few == clear] = 255
    if bits < 8:
        digits = np.unpackbits(few[..., None], axis=-1)[..., -bits:]  # (H, W, bits)
        rows: Samples = np.packbits(digits.reshape(len(few), -1), axis=-1)
    else:
        rows = few.astype(">u2") * 257 if bits == 16 else few
        clear *= 257 if bits == 16 else 1
    data = png(rows, 0, bits, (b"tRNS", struct.pack(">H", clear)))
    expected = written(Image.fromarray(right.astype(np.uint8)), "PNG")
    assert np.abs(pixels(data) - pixels(expected)).max() <= 1


@pytest.mark.parametrize("bits", [8, 16])
def test_a_transparent_colour_becomes_white(bits: int) -> None:
    clear = COLOURS[0, 0]
    right = COLOURS.copy()
    right[(clear == COLOURS).all(axis=2)] = 255
    times = 257 if bits == 16 else 1
    rows = COLOURS.astype(">u2") * 257 if bits == 16 else COLOURS
    data = png(rows, 2, bits, (b"tRNS", struct.pack(">3H", *(int(c) * times for c in clear))))
    assert np.abs(pixels(data) - pixels(written(Image.fromarray(right), "PNG"))).max() <= 1
