"""Bring a file into the page cache in one sweep.

A scan of a mapped file that is not in memory waits for the disk page by page: 18 s for 1 GB where
a sequential read takes 0.8 s. POSIX_FADV_WILLNEED does not help: it stops after a window.
"""

import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path

PROBED_PAGES = 256  # a file that was read recently has all of them in memory
READ_BYTES = 4 << 20  # at a time
MAX_SENDFILE_BYTES = 1 << 30  # asked of the system in one call
MAX_SWEPT_BYTES = 2 << 30  # more takes seconds, and a search does not need all of it

_Part = tuple[Path, int]  # the real path, and from which byte on
_reading: dict[_Part, threading.Thread] = {}
_starting: dict[int, threading.Lock] = {}  # by process: a forked child cannot use its parent's


def read_ahead(path: Path, start: int = 0) -> threading.Thread:
    """Start to read a file into memory from byte `start` on, unless that is already under way.

    The returned thread ends when as much of it as fits is there; immediately if it already was, or
    if it is more than 2 GiB.
    """
    part = path.resolve(), start
    with _starting.setdefault(os.getpid(), threading.Lock()):
        thread = _reading.get(part)
        if thread is None or not thread.is_alive():
            thread = _reading[part] = threading.Thread(target=_bring, args=part, daemon=True)
            thread.start()
        return thread


def _bring(path: Path, start: int) -> None:
    if not path.is_file():
        return
    # OSError: it was replaced or removed. Processes that mapped it still have its pages.
    with suppress(OSError), FileIO(path) as file:
        size = os.fstat(file.fileno()).st_size - start
        if size <= MAX_SWEPT_BYTES and not in_memory(file.fileno(), start):
            file.seek(start)
            _sweep(file)


def _sweep(file: FileIO) -> None:
    """Read to the end.

    Linux does it in one call; a loop of our own would wait for the interpreter after each part,
    which takes five times as long beside a thread that computes.
    """
    if sys.platform == "linux":
        with suppress(OSError), FileIO(os.devnull, "r+") as nowhere:
            while os.sendfile(nowhere.fileno(), file.fileno(), None, MAX_SENDFILE_BYTES):
                pass
    buffer = bytearray(READ_BYTES)
    while file.readinto(buffer):
        pass


def in_memory(descriptor: int, start: int = 0) -> bool:
    """Return whether a file seems to be in the page cache; False where the system does not tell."""
    size = os.fstat(descriptor).st_size
    return are_in_memory(descriptor, range(start, size, max((size - start) // PROBED_PAGES, 1)))


def are_in_memory(descriptor: int, offsets: Iterable[int]) -> bool:
    """Return whether these bytes of a file are in the page cache, as far as the system tells."""
    no_wait = getattr(os, "RWF_NOWAIT", None)
    if no_wait is None:
        return False
    byte = bytearray(1)
    try:
        for offset in offsets:
            os.preadv(descriptor, [byte], offset, no_wait)
    except OSError:  # EAGAIN: a page is only on the disk; EOPNOTSUPP: unknown
        return False
    return True
