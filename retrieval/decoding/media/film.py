"""Videos, opened by FFmpeg through PyAV, which the extra `video` installs.

The kind of container is decided by the first bytes and FFmpeg is told: left to itself, it takes a
list of addresses that is named x.mp4 for a video and fetches them. It may open no other file.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image

from retrieval.decoding.kinds.signatures import FILM_NAMES, HEAD_BYTES, signature_of
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.media.film_facts import facts_of
from retrieval.decoding.pillow_errors import too_large
from retrieval.decoding.profiles import HLG, PQ, meant
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Facts, Shot

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

ONLY_FILES = {"protocol_whitelist": "file"}
TICKS = 1_000_000  # a second, of a container
BT_2020 = 9  # H.273's number for its primaries
UNSPECIFIED, HIGH = 2, 720  # videos that do not say how they encode colour: BT.709 from 720 rows on
SIDEWAYS = (90, 270)
TURNS = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}


class FilmFormat(NamedTuple):
    """A format of files that hold a video."""

    format: str  # the catalog's
    demuxer: str  # FFmpeg's


DEMUXERS = {
    **dict.fromkeys(("MOV", "MP4", "3GP"), "mov"),
    **dict.fromkeys(("MKV", "WEBM"), "matroska"),
    "AVI": "avi",
    "MTS": "mpegts",
    "MPEG": "mpeg",
    "WMV": "asf",
    "FLV": "flv",
}


def film_format_of(head: bytes) -> FilmFormat | None:
    """Return what the first bytes of a file begin; None if it is no video that is read."""
    found = signature_of(head[:HEAD_BYTES])
    format = FILM_NAMES.get(found.name) if found else None
    return FilmFormat(format, DEMUXERS[format]) if format else None


class Film:
    """An opened video."""

    def __init__(
        self, kind: FilmFormat, container: "InputContainer", stream: "VideoStream", max_pixels: int
    ) -> None:
        self.format = kind.format
        self.container = container
        self.stream = stream
        if stream.width * stream.height > max_pixels:
            raise too_large(f"{stream.width} × {stream.height}", max_pixels)

    @cached_property
    def start(self) -> float:
        """When it begins, in seconds of its own clock."""
        return (self.container.start_time or 0) / TICKS

    @cached_property
    def duration(self) -> float | None:
        """How long it is, in seconds, if its file says."""
        if self.container.duration and self.container.duration > 0:
            return self.container.duration / TICKS
        if self.stream.duration and self.stream.duration > 0 and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return None

    def facts(self) -> tuple[Facts, Shot]:
        return facts_of({**self.stream.metadata, **self.container.metadata})

    def seek(self, seconds: float) -> None:
        """Go to the last key frame at or before a time; some containers go further."""
        with explained():
            try:
                self.container.seek(int((self.start + seconds) * TICKS))
            except OSError:  # some have nothing before their beginning
                if seconds >= 0:
                    raise
                self.container.seek(int(self.start * TICKS))

    def time_of(self, frame: "VideoFrame") -> float:
        """Return the time of a frame in seconds from the beginning."""
        base = self.stream.time_base  # a frame that was flushed out does not have it
        return max(0.0, float((frame.pts or 0) * base) - self.start) if base else 0.0

    def size_of(self, frame: "VideoFrame") -> tuple[int, int]:
        """Return the width and height of a frame upright, in square pixels."""
        ratio = float(self.stream.sample_aspect_ratio or 1)
        width = max(1, round(frame.width * ratio)) if ratio > 0 else frame.width
        return (frame.height, width) if _turn(frame) in SIDEWAYS else (width, frame.height)

    def picture(self, frame: "VideoFrame", size: tuple[int, int]) -> Image.Image:
        """Return a frame upright in RGB, scaled to a size; `info["meaning"]` says if it is HDR."""
        turn = _turn(frame)
        width, height = size[::-1] if turn in SIDEWAYS else size
        is_woven = frame.interlaced_frame and frame.height > 2
        rows = frame.height if is_woven else height
        how: dict[str, Any] = {"interpolation": "AREA"}
        if int(frame.colorspace) == UNSPECIFIED and frame.height >= HIGH:
            how["src_colorspace"] = "ITU709"
        small = frame.reformat(width, rows, "rgb24", **how)
        image = Image.fromarray(small.to_ndarray())
        if is_woven:  # one of its two fields, which are of different times
            field = image.resize((width, rows // 2), Image.Resampling.NEAREST)
            image = field.resize((width, height), Image.Resampling.BICUBIC)
        image = image.transpose(TURNS[turn]) if turn in TURNS else image
        numbers = int(frame.color_primaries), int(frame.color_trc)
        if numbers[1] in (PQ, HLG) or numbers[0] == BT_2020:
            image.info["meaning"] = meant(*numbers)
        return image


def _turn(frame: "VideoFrame") -> int:
    """Return by how much a frame is to be turned to the left: 0, 90, 180 or 270 degrees."""
    return round(frame.rotation / 90) * 90 % 360


@contextmanager
def opened(source: bytes | io.BytesIO, head: bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Film]:
    """Open a video, given as a path or by its bytes. Raises UnreadablePicture.

    head: the first bytes, which decide what it is.
    """
    import av

    av.logging.set_level(None)
    kind = film_format_of(head)
    assert kind is not None
    named = source if isinstance(source, io.BytesIO) else os.fsdecode(source)
    with explained():
        how: dict[str, Any] = {"format": kind.demuxer, "metadata_errors": "replace"}
        with av.open(named, options=ONLY_FILES, **how) as container:
            yield Film(kind, container, _stream(av, container), max_pixels)


def _stream(av: Any, container: "InputContainer") -> "VideoStream":
    """Return the video in a container, which may also hold its cover. Raises UnreadablePicture."""
    covers = av.stream.Disposition.attached_pic
    for stream in container.streams.video:
        if not stream.disposition & covers:
            if stream.codec_context is None:
                said = "it is a video whose codec is not known"
                raise UnreadablePicture(said, FailureCode.NOT_A_PICTURE)
            stream.codec_context.thread_count = 1  # there is a worker for each core
            return stream
    said = "it is a video without a picture stream"
    raise UnreadablePicture(said, FailureCode.NOT_A_PICTURE)


@contextmanager
def explained() -> Iterator[None]:
    """Turn FFmpeg's errors into UnreadablePicture."""
    import av

    try:
        yield
    except UnreadablePicture:
        raise
    except MemoryError as error:
        said = "it needs more memory than is available"
        raise UnreadablePicture(said, FailureCode.OUT_OF_MEMORY) from error
    except FileNotFoundError:
        raise
    except av.error.InvalidDataError as error:
        said = "it cannot be decoded: the video is damaged, or ends before its index"
        raise UnreadablePicture(said) from error
    except Exception as error:  # FFmpeg's errors are of many classes
        said = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
        raise UnreadablePicture(f"it cannot be decoded: the video is damaged ({said})") from error
