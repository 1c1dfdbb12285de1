"""Videos: every container, whatever way up, and the few frames that are moments."""

import io
import itertools
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from retrieval.decoding.formats import FILM_EXTENSIONS, is_named_as_film
from retrieval.decoding.kinds.names import Kind
from retrieval.decoding.kinds.signatures import kind_by_content
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.media import choice, medium, watching
from retrieval.decoding.media.film_facts import facts_of
from retrieval.decoding.task import Task, work
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Decoded
from tests.retrieval.decoding.films import CODECS, Scene, drawn, film, looks_like
from tests.retrieval.small import DATA

FORMATS = DATA / "formats"
SIDE = 64
CLOSE = 12.0  # of 255, after lossy coding


def decoded(path: Path, most: int = 60) -> Decoded:
    return medium.opened(path).decode(SIDE, MAX_PIXELS, most)


def times(of: Decoded) -> list[float]:
    return [round(frame.moment.position, 2) for frame in of.frames]


@pytest.mark.parametrize("extension", CODECS)
def test_each_scene_is_a_moment_in_every_container(tmp_path: Path, extension: str) -> None:
    path = film(tmp_path / f"a{extension}", [1, 2, "black", 3])
    assert kind_by_content(bytes(path)) is None and is_named_as_film(path)
    held = medium.opened(path)
    whole = held.decode(SIDE, MAX_PIXELS, 60)
    assert (whole.width, whole.height) == (96, 64) and not whole.is_truncated
    assert whole.duration == pytest.approx(8.0, abs=1.3)
    for frame, scene, at in zip(whole.frames, [1, 2, 3], [0, 2, 6], strict=True):
        assert frame.moment.unit == "second"
        assert frame.moment.position == pytest.approx(at, abs=1.3)
        assert looks_like(frame.pixels, scene) < CLOSE
    again = held.decode(SIDE, MAX_PIXELS, at=[frame.moment for frame in whole.frames])
    for one, other in zip(again.frames, whole.frames, strict=True):
        assert one.moment == other.moment
        assert np.abs(one.pixels.astype(int) - other.pixels).max() < 12
    shown = held.thumbnail(960, 48, MAX_PIXELS, whole.frames[2].moment)
    assert shown.size == (72, 48)
    difference = np.asarray(shown, float) - np.asarray(drawn(3).resize((72, 48)), float)
    assert np.abs(difference).mean() < CLOSE


def test_all_extensions_that_are_films_are_of_containers_that_are_read() -> None:
    assert set(CODECS) <= {extension.decode() for extension in FILM_EXTENSIONS}


@pytest.mark.parametrize("turn", [90, 180, -90])
def test_a_turned_film_is_upright(tmp_path: Path, turn: int) -> None:
    path = film(tmp_path / "a.mp4", [1], rotation=turn)
    whole = decoded(path)
    assert (whole.width, whole.height) == ((96, 64) if turn == 180 else (64, 96))
    shown = np.asarray(medium.opened(path).thumbnail(960, 960, MAX_PIXELS), float)
    upright = np.asarray(drawn(1).rotate(turn, expand=True), float)
    assert np.abs(shown - upright).mean() < CLOSE


def test_pixels_that_are_not_square_are_stretched(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [1], ratio=Fraction(2, 1))
    assert (decoded(path).width, decoded(path).height) == (192, 64)
    assert medium.opened(path).thumbnail(960, 32, MAX_PIXELS).size == (96, 32)


def test_black_white_and_blurred_frames_are_no_moments(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", ["black", 1, "white", 2, "#808080"])
    assert times(decoded(path)) == [2, 6]


@pytest.mark.parametrize("scenes", [["black"], ["white", "black"], [Scene(1, 0.25)]])
def test_a_film_has_at_least_one_moment(tmp_path: Path, scenes: list[Scene | str]) -> None:
    whole = decoded(film(tmp_path / "a.mp4", scenes))
    assert len(whole.frames) == 1 and not whole.is_truncated


def test_frames_between_rare_key_frames_are_looked_at(tmp_path: Path) -> None:
    lonely = {"x264-params": "scenecut=0:keyint=1000:min-keyint=1000"}
    path = film(tmp_path / "a.mp4", [1, 2, 3], keys=1000, options=lonely)
    assert times(decoded(path)) == [0, 2, 4]


def test_a_long_film_is_sought_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4", [Scene(i, 30) for i in range(1, 41)], rate=1, keys=10)
    looked = itertools.count()
    look = watching.look_at
    monkeypatch.setattr(watching, "look_at", lambda *args: (next(looked), look(*args))[1])
    whole = decoded(path, most=10)
    assert len(whole.frames) == 10 and next(looked) <= 40
    assert times(whole)[0] < 60 and times(whole)[-1] > 1000  # of 1200
    for frame in whole.frames:
        assert looks_like(frame.pixels, int(frame.moment.position // 30) + 1) < CLOSE


def test_frames_of_different_length_have_their_own_times(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.gop_size = 96, 64, 1
        for at, scene in [(0, 1), (1.3, 2), (9.5, 3)]:
            frame = av.VideoFrame.from_image(drawn(scene)).reformat(format="yuv420p")
            frame.pts, frame.time_base = int(at * 10), Fraction(1, 10)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert times(decoded(path)) == [0, 1.3, 9.5]


@pytest.mark.parametrize(
    ("transfer", "white"),
    [("smpte2084", "#949494"), ("arib-std-b67", "#bfbfbf")],  # 203 nits in PQ, and 75% in HLG
)
def test_hdr_is_toned_down(tmp_path: Path, transfer: str, white: str) -> None:
    """Diffuse white is bright, and neither grey nor cut; what is brighter still differs from it."""
    params = f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    how: dict[str, Any] = {"codec": "libx265", "pixel_format": "yuv420p10le"}
    seen = []
    for number, colour in enumerate((white, "#d4d4d4" if white < "#a" else "#e6e6e6")):
        path = tmp_path / f"{number}.mkv"
        film(path, [colour], **how, options={"x265-params": params})
        seen.append(decoded(path).pixels.mean())
        shown = np.asarray(medium.opened(path).thumbnail(96, 64, MAX_PIXELS)).mean()
        assert abs(shown - seen[-1]) < 3
    assert 215 < seen[0] < seen[1] - 2 and seen[1] <= 255


def test_woven_fields_do_not_ghost(tmp_path: Path) -> None:
    path = film(
        tmp_path / "a.mkv",
        [1],
        size=(192, 128),
        options={"x264-params": "interlaced=1:tff=1"},
    )
    assert looks_like(decoded(path).pixels, 1) < CLOSE


def test_what_precedes_a_damaged_end_is_kept(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", [1, 2, 3, 4, 5, 6], size=(480, 320))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    whole = decoded(path)
    assert whole.is_truncated and times(whole)[:2] == [0, 2] and len(whole.frames) < 6


def test_a_film_without_its_index_is_a_failure_with_the_reason(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [1, 2])
    path.write_bytes(path.read_bytes()[:2_000])
    with pytest.raises(UnreadablePicture, match="the video is damaged, or ends before its index"):
        decoded(path)


def test_sound_alone_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(UnreadablePicture, match="a video without a picture stream") as refused:
        decoded(path)
    assert refused.value.code == FailureCode.NOT_A_PICTURE


def test_a_list_of_addresses_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")
    result = work(Task(1, bytes(path), SIDE, MAX_PIXELS))
    assert result.failure and result.failure.reason == "it is not a picture but text"


def test_a_film_of_too_many_pixels_is_a_failure(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [1])
    result = work(Task(1, bytes(path), SIDE, max_pixels=6_000))
    assert result.failure and result.failure.code == FailureCode.TOO_LARGE


def test_names_do_not_decide(tmp_path: Path) -> None:
    picture = tmp_path / "a.mp4"
    drawn(1).save(picture, "PNG")
    assert decoded(picture).format == "PNG"
    path = film(tmp_path / "b.mkv", [1, 2]).rename(tmp_path / "without")
    assert kind_by_content(bytes(path)) is None
    assert decoded(path).format == "MKV" and len(decoded(path).frames) == 2
    assert medium.of_bytes(path.read_bytes()).digest == medium.opened(path).digest


def test_a_task_hashes_describes_decodes_and_draws(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [1, 2])
    task = Task(1, bytes(path), SIDE, MAX_PIXELS, box=(48, 48), most=5)
    result = work(task)
    assert task.patience == 10 and Task(1, b"a.jpg", SIDE, MAX_PIXELS).patience == 1
    assert result.decoded and len(result.decoded.frames) == 2 and result.thumbnail
    described = work(Task(1, bytes(path), None, MAX_PIXELS, describe=True))
    assert described.digest == result.digest and described.shot is not None
    assert described.difference_hash and described.differs is False


def test_facts_of_phones() -> None:
    apple = {
        "com.apple.quicktime.creationdate": "2019-07-24T11:25:40+0300",
        "creation_time": "2019-07-24T08:25:57.000000Z",
        "com.apple.quicktime.location.ISO6709": "+32.0929+034.8620+028.516/",
        "com.apple.quicktime.make": "Apple",
        "com.apple.quicktime.model": "iPhone 6",
        "title": "A walk",
    }
    facts, shot = facts_of(apple)
    assert facts.taken_at == datetime.fromisoformat("2019-07-24T11:25:40+03:00")
    assert facts.taken_from == "original" and facts.wordings[0].text == "A walk"
    assert (shot.camera, shot.latitude, shot.longitude) == ("Apple iPhone 6", 32.0929, 34.862)
    facts, shot = facts_of({"creation_time": "2020-01-05T11:19:45.000000Z", "location": "bad"})
    assert facts.taken_at == datetime(2020, 1, 5, 11, 19, 45, tzinfo=UTC)
    assert facts.taken_from == "digitized" and shot.latitude is None
    nothing = {"creation_time": "1970-01-01T00:00:00.000000Z", "location": "+00.0000+000.0000/"}
    facts, shot = facts_of(nothing)
    assert facts.taken_at is None and shot.latitude is None and shot.camera is None


@pytest.mark.skipif(not FORMATS.exists(), reason="no reference data")
@pytest.mark.parametrize(
    ("name", "size", "duration", "moments"),
    [
        ("phone-3gp5.mp4", (720, 1280), 1.3, 1),
        ("sample_mpeg4.mp4", (190, 240), 5.0, 2),
        ("with-gps.mov", (320, 568), 4.0, 4),
        ("with-gps.mp4", (1920, 1080), 0.2, 1),
        ("xmp480qt.mov", (640, 360), 1.0, 1),
    ],
)
def test_real_films(name: str, size: tuple[int, int], duration: float, moments: int) -> None:
    whole = decoded(FORMATS / name)
    assert (whole.width, whole.height) == size and not whole.is_truncated
    assert whole.duration == pytest.approx(duration, abs=0.1)
    assert moments <= len(whole.frames) <= moments + 1
    assert whole.taken_at is not None
    assert (whole.shot.latitude is not None) == ("gps" in name)


def test_looks_choose_what_differs() -> None:
    looks = [choice.look_at(drawn(scene), at, at) for at, scene in enumerate([1, 1, 2, 2, 1, 3])]
    assert choice.chosen(looks, 10) == [0, 2, 4, 5]
    assert choice.chosen(looks, 2) == [0, 4]
    assert choice.chosen([], 3) == []
    quick = [look._replace(time=look.time / 4) for look in looks]
    assert choice.chosen(quick, 10) == [0, 5]


def test_bytes_of_a_film_are_decoded_in_memory(tmp_path: Path) -> None:
    data = film(tmp_path / "a.mp4", [1, 2]).read_bytes()
    held = medium.FilmFile(io.BytesIO(data), data[:1024])
    assert len(held.decode(SIDE, MAX_PIXELS, 9).frames) == 2


def test_kinds_of_videos_that_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"\0\0\1\xb3" + bytes(100))
    assert kind_by_content(bytes(path)) == Kind.VIDEO
