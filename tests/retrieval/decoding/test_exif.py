"""What a camera wrote: read where it makes sense, nothing where it does not, and never an error."""

import io
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from retrieval.decoding.decode import decode
from retrieval.decoding.decode import describe as metadata_of
from retrieval.records import Shot

EXIF, GPS = 0x8769, 0x8825
BASE = {0x010F: "Google", 0x0110: "Pixel 7"}
DETAILS = {
    0x829A: IFDRational(1, 250),
    0x829D: 1.8,
    0x8827: 400,
    0x920A: 6.8,
    0xA434: "Pixel 7 back camera",
}
MUNICH = {1: "N", 2: (48.0, 8.0, 13.2), 3: "E", 4: (11.0, 34.0, 31.8)}


def jpeg(base: Any = (), details: Any = (), gps: Any = ()) -> bytes:
    exif = Image.Exif()
    exif.update(dict(base))
    exif.get_ifd(EXIF).update(dict(details))
    exif.get_ifd(GPS).update(dict(gps))
    file = io.BytesIO()
    Image.new("RGB", (16, 12), "green").save(file, "JPEG", exif=exif)
    return file.getvalue()


def describe(data: bytes) -> Shot:
    return metadata_of(data)[1]


def place(gps: dict[int, Any]) -> tuple[float | None, float | None]:
    shot = describe(jpeg(gps=gps))
    return shot.latitude, shot.longitude


def test_all_that_a_camera_writes() -> None:
    data = jpeg(BASE, DETAILS, MUNICH)
    shot = describe(data)
    assert (shot.camera, shot.lens) == ("Google Pixel 7", "Pixel 7 back camera")
    assert (shot.latitude, shot.longitude) == pytest.approx((48.137, 11.5755), abs=1e-4)
    assert shot.exposure == pytest.approx(1 / 250) and shot.aperture == pytest.approx(1.8)
    assert shot.iso == 400 and shot.focal_length == pytest.approx(6.8)
    assert decode(data, 8).shot == shot


def test_nothing_written_is_nothing_read() -> None:
    assert describe(jpeg()) == Shot()


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("Canon", "Canon EOS R5", "Canon EOS R5"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("  Google\0 ", "Pixel\n 7\0garbage", "Google Pixel 7"),
        ("", "X100V", "X100V"),
        ("Leica", "", "Leica"),
        ("", "\x1b[31m", "[31m"),
        ("", "x" * 5000, "x" * 100),
    ],
)
def test_cameras_have_one_name(make: str, model: str, camera: str) -> None:
    assert describe(jpeg({0x010F: make, 0x0110: model})).camera == camera


def test_south_and_west_are_negative() -> None:
    assert place({**MUNICH, 1: "S", 3: "W"}) == pytest.approx((-48.137, -11.5755), abs=1e-4)


@pytest.mark.parametrize(
    "lie",
    [
        {2: (IFDRational(0, 0),) * 3},
        {2: (0.0, 0.0, 0.0), 4: (0.0, 0.0, 0.0)},
        {2: (91.0, 0.0, 0.0)},
        {4: (180.0, 0.0, 1.0)},
        {2: ()},
    ],
)
def test_a_place_that_cannot_be_is_none(lie: dict[int, Any]) -> None:
    assert place({**MUNICH, **lie}) == (None, None)


def test_one_lie_costs_nothing_else() -> None:
    lies = {**DETAILS, 0x829A: IFDRational(0, 0), 0x8827: 0, 0x920A: IFDRational(1, 0)}
    shot = describe(jpeg(BASE, lies, MUNICH))
    assert (shot.exposure, shot.iso, shot.focal_length) == (None, None, None)
    assert shot.aperture == pytest.approx(1.8) and shot.camera == "Google Pixel 7"
    assert shot.latitude is not None


def test_a_moment_with_a_zone_of_its_own() -> None:
    details = {0x9003: "2023:06:01 12:34:56", 0x9011: "-03:30"}
    expected = datetime.fromisoformat("2023-06-01T12:34:56-03:30")
    assert decode(jpeg(details=details), 8).taken_at == expected


@given(st.binary(max_size=200), st.integers(0, 400))
def test_garbage_is_no_failure(garbage: bytes, at: int) -> None:
    exif = Image.Exif()
    exif.update(BASE)
    exif.get_ifd(EXIF).update(DETAILS)
    exif.get_ifd(GPS).update(MUNICH)
    raw = bytearray(exif.tobytes())
    raw[at : at + len(garbage)] = garbage
    file = io.BytesIO()
    Image.new("RGB", (16, 12)).save(file, "JPEG", exif=bytes(raw))
    shot = decode(file.getvalue(), 8).shot
    assert shot.latitude is None or -90 <= shot.latitude <= 90
    assert (shot.latitude is None) == (shot.longitude is None)
    assert shot.exposure is None or shot.exposure > 0
