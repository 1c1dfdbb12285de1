"""A file opened as what it is: a picture, whose bytes are in memory, or a video, which is sought.

The name decides how a file is read, and its first bytes what it is: a video without a name of one
is read whole, and one that is named as a video may be a picture.
"""

import io
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL import Image

from clipmodel.config import Resize
from retrieval.decoding import content, decode
from retrieval.decoding.formats import can_read_films, is_named_as_film
from retrieval.decoding.kinds.signatures import HEAD_BYTES
from retrieval.records import Decoded, Facts, Moment, Shot
from retrieval.sources.entry import Part


class Description(NamedTuple):
    """What is known of a file besides its pixels."""

    facts: Facts
    shot: Shot
    hash: bytes | None  # the difference hash
    differs: bool  # from what versions of this package before DECODING 1 decoded


class Medium(Protocol):
    """An opened file. Every method raises UnreadablePicture."""

    @property
    def digest(self) -> bytes:
        """Return the digest of its bytes."""

    def decode(
        self, size: Resize | int, max_pixels: int, most: int = 1, at: Sequence[Moment] = ()
    ) -> Decoded:
        """Decode up to `most` moments that are worth a vector, or those given by `at`."""

    def thumbnail(
        self, width: int, height: int, max_pixels: int, at: Moment | None = None
    ) -> Image.Image:
        """Return its first moment, or `at`, to show: RGB, upright, at most this large."""

    def describe(self, max_pixels: int) -> Description:
        """Return what is known of it besides its pixels."""

    def is_still(self, most: int, max_pixels: int) -> bool:
        """Return whether it has only one moment that is worth a vector, of `most`."""


class PictureBytes:
    """The bytes of a picture, an animation or a document."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @cached_property
    def digest(self) -> bytes:
        return content.digest_of(self._data)

    def decode(
        self, size: Resize | int, max_pixels: int, most: int = 1, at: Sequence[Moment] = ()
    ) -> Decoded:
        return decode.decode(self._data, size, max_pixels, most, at)

    def thumbnail(
        self, width: int, height: int, max_pixels: int, at: Moment | None = None
    ) -> Image.Image:
        return decode.thumbnail(self._data, width, height, max_pixels, at)

    def describe(self, max_pixels: int) -> Description:
        facts, shot = decode.describe(self._data)
        hash = decode.hashed(self._data, max_pixels)
        return Description(facts, shot, hash, decode.differs(self._data))

    def is_still(self, most: int, max_pixels: int) -> bool:
        return not decode.moments_in(self._data, most, max_pixels)


class FilmFile:
    """A video: a file by its path, or the bytes of one."""

    def __init__(self, source: bytes | io.BytesIO, head: bytes) -> None:
        """source: a path, or bytes in memory. head: the first bytes."""
        self._source = source
        self._head = head

    @cached_property
    def digest(self) -> bytes:
        if isinstance(self._source, io.BytesIO):
            return content.digest_of(self._source.getvalue())
        return content.digest_at(self._source)

    def decode(
        self, size: Resize | int, max_pixels: int, most: int = 1, at: Sequence[Moment] = ()
    ) -> Decoded:
        from retrieval.decoding.media import watching  # PyAV, which no picture needs

        return watching.decode(self._source, self._head, size, max_pixels, most, at)

    def thumbnail(
        self, width: int, height: int, max_pixels: int, at: Moment | None = None
    ) -> Image.Image:
        from retrieval.decoding.media import watching

        return watching.thumbnail(self._source, self._head, width, height, max_pixels, at)

    def describe(self, max_pixels: int) -> Description:
        decoded = self.decode(decode.SMALL_SIDE, max_pixels)
        return Description(decoded.facts, decoded.shot, decoded.difference_hash, differs=False)

    def is_still(self, most: int, max_pixels: int) -> bool:
        return False  # its one moment has a time


def opened(path: Path | bytes, part: Part | None = None) -> Medium:
    """Open a file, or a part of one. Raises UnreadablePicture, FileNotFoundError."""
    if part is None and is_named_as_film(path):
        head = content.head(path, HEAD_BYTES)
        if is_film(head):
            return FilmFile(os.fsencode(path), head)
    return of_bytes(content.read(path, part))


def of_bytes(data: bytes) -> Medium:
    """Return what some bytes are: a video that can be read, or else a picture."""
    if is_film(data):
        return FilmFile(io.BytesIO(data), data[:HEAD_BYTES])
    return PictureBytes(data)


def is_film(data: bytes) -> bool:
    """Return whether bytes begin a video that can be read here."""
    if not can_read_films():
        return False
    from retrieval.decoding.media.film import film_format_of

    return film_format_of(data) is not None
