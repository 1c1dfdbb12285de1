"""An entry: where the bytes of one picture are."""

import os
from typing import NamedTuple


class Part(NamedTuple):
    """A part of a file, in bytes."""

    offset: int
    size: int


class Entry(NamedTuple):
    """Where the bytes of one picture are. Small, so that any process can be told."""

    path: bytes  # absolute, of the file that holds them
    part: Part | None = None  # None: all of the file

    @classmethod
    def of(cls, root: str | os.PathLike[str], file: bytes, part: Part | None = None) -> "Entry":
        """Return the entry of a file, given relative to its root."""
        return cls(os.path.join(os.fsencode(root), file), part)
