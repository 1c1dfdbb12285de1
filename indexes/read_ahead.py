"""Bring a file into the page cache in one sweep.

A scan of a mapped file that is not in memory waits for the disk page by page: 18 s for 1 GB where
a sequential read takes 0.8 s. POSIX_FADV_WILLNEED does not help: it stops after a window.
"""

import os
import sys
import threading
from contextlib import suppress
from io import FileIO
from pathlib import Path

PROBED_PAGES = 256  # a file that was read recently has all of them in memory
READ_BYTES = 4 << 20  # at a time
MAX_SENDFILE_BYTES = 1 << 30  # asked of the system in one call

_reading: dict[Path, threading.Thread] = {}  # by the real path
_starting: dict[int, threading.Lock] = {}  # by process: a forked child cannot use its parent's


def read_ahead(path: Path) -> threading.Thread:
    """Start to read a file into memory, unless that is already under way.

    The returned thread ends when as much of it as fits is there; immediately if it already was.
    """
    path = path.resolve()
    with _starting.setdefault(os.getpid(), threading.Lock()):
        thread = _reading.get(path)
        if thread is None or not thread.is_alive():
            thread = _reading[path] = threading.Thread(target=_bring, args=(path,), daemon=True)
            thread.start()
        return thread


def _bring(path: Path) -> None:
    if not path.is_file():
        return
    # OSError: it was replaced or removed. Processes that mapped it still have its pages.
    with suppress(OSError), FileIO(path) as file:
        if not in_memory(file.fileno()):
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


def in_memory(descriptor: int) -> bool:
    """Return whether a file seems to be in the page cache; False where the system does not tell."""
    no_wait = getattr(os, "RWF_NOWAIT", None)
    if no_wait is None:
        return False
    size, byte = os.fstat(descriptor).st_size, bytearray(1)
    try:
        for offset in range(0, size, max(size // PROBED_PAGES, 1)):
            os.preadv(descriptor, [byte], offset, no_wait)
    except OSError:  # EAGAIN: a page is only on the disk; EOPNOTSUPP: unknown
        return False
    return True
