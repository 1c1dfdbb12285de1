"""Files that end too early: what is there is read and marked, as browsers do."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from retrieval.decoding.decode import decode, thumbnail
from retrieval.errors import UnreadablePicture
from tests.retrieval.decoding.formats.samples import written

SIDE = 48
NOISE = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE).resize((128, 96), Image.Resampling.BICUBIC)
ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def interlaced() -> bytes:
    """The picture as a PNG of seven passes."""
    pixels = np.asarray(PICTURE)
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in ADAM7 for row in pixels[y::dy, x::dx])
    head = struct.pack(">IIBBBBB", *PICTURE.size, 8, 2, 0, 0, 1)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


SAMPLES = {
    "JPEG": written(PICTURE, "JPEG", quality=80),
    "progressive JPEG": written(PICTURE, "JPEG", quality=80, progressive=True),
    "PNG": written(PICTURE, "PNG"),
    "PNG with a palette": written(PICTURE.quantize(64), "PNG"),
    "grey PNG": written(PICTURE.convert("L"), "PNG"),
    "transparent PNG": written(PICTURE.convert("RGBA"), "PNG"),
    "GIF": written(PICTURE.quantize(64), "GIF", interlace=0),
    "interlaced GIF": written(PICTURE.quantize(64), "GIF"),
    "interlaced PNG": interlaced(),
    "BMP": written(PICTURE, "BMP"),
    "PPM": written(PICTURE, "PPM"),
    "TIFF": written(PICTURE, "TIFF"),
    "WebP": written(PICTURE, "WEBP", quality=80),
    "lossless WebP": written(PICTURE, "WEBP", lossless=True),
}
FROM_BELOW = {"BMP"}


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_there_is_read_and_marked(name: str) -> None:
    data = SAMPLES[name]
    whole = decode(data, SIDE)
    assert not whole.is_truncated
    for size in (len(data) - 20, len(data) * 5 // 6):
        cut = decode(data[:size], SIDE)
        assert cut.is_truncated and (cut.width, cut.height) == PICTURE.size
        half = slice(SIDE // 2, None) if name in FROM_BELOW else slice(SIDE // 2)
        off = np.abs(cut.pixels[half].astype(int) - whole.pixels[half])
        assert off.mean() < (8 if name.startswith(("interlaced", "progressive")) else 1)
    assert thumbnail(data[:size], 40, 40).size == (40, 30)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "GIF", "WebP"])
def test_of_which_most_is_missing_is_a_failure(name: str) -> None:
    data = SAMPLES[name]
    with pytest.raises(UnreadablePicture, match="ends too early|cannot be decoded"):
        decode(data[: len(data) // 3], SIDE)


@pytest.mark.parametrize("name", ["JPEG", "progressive JPEG"])
def test_without_its_end_marker_nothing_is_missing(name: str) -> None:
    cut = decode(SAMPLES[name].removesuffix(b"\xff\xd9"), SIDE)
    assert cut.is_truncated and (cut.pixels == decode(SAMPLES[name], SIDE).pixels).all()


def test_a_jpeg_may_end_in_any_of_its_parts() -> None:
    """From the first scan that has all rows on, a progressive one is shown, in fewer details."""
    data = SAMPLES["progressive JPEG"]
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    whole = decode(data, SIDE).pixels.astype(int)
    for size in range(second, len(data), 17):
        assert np.abs(decode(data[:size], SIDE).pixels - whole).mean() < 40


def test_damage_in_the_middle_is_a_failure() -> None:
    data = bytearray(SAMPLES["PNG"])
    at = data.index(b"IDAT") + 100
    data[at : at + 50] = bytes(50)
    with pytest.raises(UnreadablePicture):
        decode(bytes(data), SIDE)


def test_an_animation_keeps_the_frames_that_are_whole() -> None:
    turned = [PICTURE.rotate(90 * n).quantize(64) for n in range(3)]
    stream = io.BytesIO()
    turned[0].save(stream, "GIF", save_all=True, append_images=turned[1:], duration=2000)
    data = stream.getvalue()
    assert len(decode(data, SIDE, most=9).frames) == 3
    assert len(decode(data[:-200], SIDE, most=9).frames) == 2
