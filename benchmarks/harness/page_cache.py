"""Control of the page cache, to time a search whose files are only on the disk."""

import os
from collections.abc import Iterable
from pathlib import Path

BUFFER = 4 << 20  # bytes a read


def drop(files: Iterable[Path]) -> bool:
    """Drop the files' pages. Returns False if the system has no call for it (not Linux)."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is None:
        return False
    os.sync()  # pages not written to the disk yet would stay
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        advise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    return True


def read_all(files: Iterable[Path]) -> None:
    """Read files sequentially, the fastest way to read from a disk."""
    buffer = bytearray(BUFFER)
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
