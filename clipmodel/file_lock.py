"""One process at a time: by a lock of the system's, or by a file where a file system has none."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

# What a call answers that the file system does not have.
MISSING = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


def mark_of(path: Path) -> Path:
    """The file that stands for the lock of `path` where there are none; its lines: pid, host."""
    return path.with_suffix(".mark")


def acquired(path: Path, timeout: float = -1) -> BaseFileLock:
    """The lock, held; `release` it. Seconds; -1: wait for ever. Raises filelock.Timeout, OSError.

    The system lets go of a lock when its process dies. A mark is left behind then, and taken over
    by the next process of the same machine.
    """
    # Its own way to a mark would take a lock file that is left from better days for one.
    lock: BaseFileLock = FileLock(path, timeout=timeout, is_singleton=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in MISSING:
            raise
        lock = SoftFileLock(mark_of(path), timeout=timeout, is_singleton=False)
        lock.acquire()
    return lock


def is_mark(lock: BaseFileLock) -> bool:
    return isinstance(lock, SoftFileLock)
