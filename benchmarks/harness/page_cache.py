"""The system's page cache: what a search costs whose files are on the disk only."""

import os
from collections.abc import Iterable
from pathlib import Path

BUFFER = 4 << 20  # bytes a read


def drop(files: Iterable[Path]) -> bool:
    """Have the system forget the files' pages. False where it has no such call (not Linux)."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    os.sync()  # pages that are not on the disk yet would stay
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    return True


def read_all(files: Iterable[Path]) -> None:
    """In sequence, which is as fast as a disk delivers."""
    buffer = bytearray(BUFFER)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
