"""The protocol of a source: a root's files, on this machine or elsewhere."""

from collections.abc import Iterator
from io import BufferedIOBase
from typing import Literal, Protocol

from retrieval.errors import SourceUnavailable
from retrieval.records import Found

FileKind = Literal["file", "folder"]


class WalkTooLong(SourceUnavailable):
    """A root has more folders than a walk over it enters: nobody can say what is in it."""


class Source(Protocol):
    """The files below one root. Paths are relative to it, in bytes; b"" is the root itself.

    Methods raise SourceUnavailable where a place cannot be asked: no network, no permission.
    """

    def kind(self, path: bytes) -> FileKind | None:
        """Return what is at a path; None if there is nothing."""

    def look_at(self, path: bytes) -> Found | None:
        """Return a regular file as it is now; None if there is none."""

    def listed(self, inside: bytes) -> Iterator[tuple[bytes, Found | None]]:
        """Yield what is in a folder: the path, and the file, or None for a folder. One without a
        name, as in the key a//b.jpg, cannot be entered.

        Raises OSError if it cannot be listed.
        """

    def open(self, path: bytes) -> BufferedIOBase:
        """Open a file for reading. Raises OSError."""


class Elsewhere(Source, Protocol):
    """The files below an address."""

    def matching(self, pattern: str) -> list[str]:
        """Return the addresses that match a pattern with *, sorted."""
