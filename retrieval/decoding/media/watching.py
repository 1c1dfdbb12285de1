"""A walk through a video: its key frames, looked at, and the few that are its moments.

A short video is read from beginning to end, of a long one some hundred places are sought, so that
hours cost no more than minutes. Frames between key frames are decoded only if these are rare.
"""

import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipmodel.config import Resize
from clipmodel.preprocess import as_resize
from retrieval.decoding.decode import SMALL_SIDE, prepared, within
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.media.choice import SECONDS, Look, chosen, look_at
from retrieval.decoding.media.film import Film, explained, opened
from retrieval.decoding.profiles import transform_of
from retrieval.errors import UnreadablePicture
from retrieval.records import Decoded, Frame, Moment

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

LOOKS = 4  # at a video, for each moment that it may have
SCALE = 1.5  # of a frame, relative to what the model takes: swscale's filter is coarser than ours
RARE = 12.0  # seconds between key frames, beyond which the frames between them are decoded as well
MAX_BETWEEN = 1_500  # frames that are decoded for that
MAX_BROKEN = 100  # packets that cannot be decoded, after which nobody goes on
MAX_SECONDS = 120.0  # of processor time, to look at frames
MAX_SILENT = 0.2  # of a video, at its end, without a picture: sound may go on for a while
NEAR = 0.001  # seconds, to which a container may round a time
BACK = (0.0, 2.0, 15.0, 3600.0)  # seconds, by which a place is sought earlier: some seek too far
NO_FRAME = "it is a video of which no frame can be decoded"

Source = bytes | io.BytesIO


class Seen(NamedTuple):
    """A frame that was looked at."""

    look: Look
    pixels: NDArray[np.uint8]  # (S, S, 3) RGB
    hash: bytes  # see difference_hash.py


def decode(
    source: Source,
    head: bytes,
    size: Resize | int,
    max_pixels: int = MAX_PIXELS,
    most: int = 1,
    at: Sequence[Moment] = (),
) -> Decoded:
    """Decode the moments of a video that are worth a vector, up to `most`, or those given by `at`.

    Raises UnreadablePicture, also for more than `max_pixels`.
    """
    with opened(source, head, max_pixels) as film:
        watch = Watch(film, size)
        seen = list(watch.at(at) if at else watch.chosen(most))
        if not seen:
            raise UnreadablePicture(NO_FRAME)
        moments = at or [Moment(n, "second", each.look.time) for n, each in enumerate(seen)]
        facts, shot = film.facts()
        frames = [Frame(m, each.pixels) for m, each in zip(moments, seen, strict=True)]
        return Decoded(
            frames[0].pixels,
            *watch.size,
            film.format,
            facts,
            shot,
            seen[0].hash,
            watch.is_cut,
            tuple(frames),
            film.duration,
        )


def thumbnail(
    source: Source,
    head: bytes,
    width: int,
    height: int,
    max_pixels: int = MAX_PIXELS,
    at: Moment | None = None,
) -> Image.Image:
    """Return a moment of a video to show, or its first: RGB, upright, at most width × height.

    Raises UnreadablePicture.
    """
    with opened(source, head, max_pixels) as film:
        watch = Watch(film, SMALL_SIDE)
        frame = watch.frame_at(at.position if at else 0.0)
        if frame is None:
            raise UnreadablePicture(NO_FRAME)
        with explained():
            image = film.picture(frame, within(film.size_of(frame), (width, height)))
        transform = transform_of(image)
        return transform(image) if transform else image


class Watch:
    """A walk through an opened video."""

    def __init__(self, film: Film, size: Resize | int) -> None:
        self.is_cut = False  # the file ends too early, or is damaged
        self.size = (0, 0)  # width and height as displayed, once a frame was seen
        self._film = film
        self._read = 0.0  # the time of the last packet, by the clock of the film
        self._resize = as_resize(size)
        self._ends = time.thread_time() + MAX_SECONDS

    def chosen(self, most: int) -> list[Seen]:
        """Return up to `most` frames that are worth a vector."""
        seen = list(self._seen(self._key_frames(LOOKS * most)))
        if len(seen) < LOOKS * most / 2 and self._are_rare(len(seen)):
            between = list(self._seen(self._in_order(keys=False)))
            last = between[-1].look.time if between else -1.0
            seen = [*between, *(each for each in seen if each.look.time >= last + SECONDS)]
        rows = chosen([each.look for each in seen], most)
        return [seen[row] for row in rows]

    def at(self, moments: Sequence[Moment]) -> list[Seen]:
        """Return the frames at these moments; one that cannot be read is as the one before it."""
        seen: list[Seen] = []
        for moment in moments:
            if frame := self.frame_at(moment.position):
                seen.append(self._look(frame))
            elif seen:
                seen.append(seen[-1])
        lacking = len(moments) - len(seen)  # at the beginning
        return [*seen[:1] * lacking, *seen]

    def frame_at(self, position: float) -> "VideoFrame | None":
        """Return the frame at a time; None if there is none."""
        self._film.stream.codec_context.skip_frame = "DEFAULT"
        found = None
        for back in BACK:
            found = None
            with suppress(UnreadablePicture):  # a broken place; the one before may not be
                self._film.seek(position + NEAR - back)
                for count, frame in enumerate(self._decoded()):
                    is_beyond = self._film.time_of(frame) > position + NEAR
                    if found is None and is_beyond and back != BACK[-1]:
                        break  # the container went too far
                    found = frame
                    if is_beyond or count >= MAX_BETWEEN or self._is_at(frame, position):
                        return frame
        return found

    def _is_at(self, frame: "VideoFrame", position: float) -> bool:
        return abs(self._film.time_of(frame) - position) <= NEAR

    def _seen(self, frames: Iterator["VideoFrame"]) -> Iterator[Seen]:
        """Look at these frames, with some time between them."""
        gap, last = min(SECONDS, (self._film.duration or math.inf) / 4), -math.inf
        for frame in frames:
            now = self._film.time_of(frame)
            if now >= last + gap:
                last = now
                yield self._look(frame)
            if time.thread_time() > self._ends:
                return

    def _look(self, frame: "VideoFrame") -> Seen:
        whole = self._film.size_of(frame)
        if self.size == (0, 0):
            self.size = whole
        scale = min(1.0, SCALE * self._resize.shorter / min(whole))
        width, height = (max(1, math.ceil(scale * side)) for side in whole)
        with explained():
            image = self._film.picture(frame, (width, height))
        pixels, hash = prepared(image, self._resize)
        now = self._film.time_of(frame)
        return Seen(look_at(image, now, now), pixels, hash)

    def _are_rare(self, keys: int) -> bool:
        """Return whether the key frames are too few to show all that is in the video."""
        duration = self._film.duration
        return duration is None or duration > max(2.0, RARE * keys) or (keys < 2 < duration)

    def _key_frames(self, looks: int) -> Iterator["VideoFrame"]:
        """Yield key frames: all of a short video, in a long one those at even distances."""
        step = (self._film.duration or 0.0) / looks
        if step <= SECONDS:
            yield from self._in_order(keys=True)
        else:
            yield from self._sought(step, looks)

    def _in_order(self, *, keys: bool) -> Iterator["VideoFrame"]:
        """Yield frames from the beginning: the key frames, or at most MAX_BETWEEN of all."""
        self._film.stream.codec_context.skip_frame = "NONKEY" if keys else "DEFAULT"
        with suppress(UnreadablePicture):  # what cannot be sought is at its beginning
            self._film.seek(-BACK[-1])
        try:
            for count, frame in enumerate(self._decoded()):
                yield frame
                if not keys and count >= MAX_BETWEEN:
                    return
        except UnreadablePicture:
            self.is_cut = True
        lacking = (self._film.duration or 0.0) - (self._read - self._film.start)
        self.is_cut |= lacking > max(1.0, MAX_SILENT * (self._film.duration or 0.0))

    def _sought(self, step: float, looks: int) -> Iterator["VideoFrame"]:
        """Yield the key frames before times at this distance, each once."""
        self._film.stream.codec_context.skip_frame = "NONKEY"
        last = -1
        for number in range(looks):
            try:
                self._film.seek(number * step if number else -BACK[-1])
                frame = self._next_key(last)
            except UnreadablePicture:
                self.is_cut, frame = True, None
            if frame is not None:
                last = frame.pts or 0
                yield frame

    def _next_key(self, last: int) -> "VideoFrame | None":
        """Return the key frame that follows, unless it is not behind the last one."""
        codec = self._film.stream.codec_context
        with explained():
            for packet in self._film.container.demux(self._film.stream):
                if not packet.is_keyframe or not packet.size:
                    continue
                if packet.pts is not None and packet.pts <= last:
                    return None
                for frame in (*packet.decode(), *codec.decode(None)):
                    return frame
                return None
        self.is_cut = True  # the index names what is not there
        return None

    def _decoded(self) -> Iterator["VideoFrame"]:
        """Yield the frames from here on; broken ones are left out. Raises UnreadablePicture."""
        import av

        broken, film = 0, self._film
        with explained():
            for packet in film.container.demux(film.stream):
                if packet.pts is not None and film.stream.time_base:
                    self._read = max(self._read, float(packet.pts * film.stream.time_base))
                try:
                    frames = packet.decode()
                except av.error.InvalidDataError:
                    self.is_cut, broken = True, broken + 1
                    if broken > MAX_BROKEN:
                        return
                    continue
                yield from frames
