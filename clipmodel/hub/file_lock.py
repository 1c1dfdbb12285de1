"""Locks between processes: the system's, or a file where the file system has no locks."""

import errno
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock

# Errors of calls that the file system does not support.
UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}


def mark_of(path: Path) -> Path:
    """Return the file that replaces the lock `path` where locks are missing. Lines: pid, host."""
    return path.with_suffix(".mark")


def acquired(path: Path, timeout: float = -1) -> BaseFileLock:
    """Acquire a lock, and return it to be released. timeout: seconds; -1 waits for ever.

    Raises filelock.Timeout or OSError. When a process dies, the system releases its lock. A mark
    stays, and the next process of the same machine takes it over.
    """
    # The library's own fallback would mistake an old lock file for a mark.
    lock: BaseFileLock = FileLock(path, timeout=timeout, is_singleton=False, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        lock = SoftFileLock(mark_of(path), timeout=timeout, is_singleton=False)
        lock.acquire()
    return lock


def is_mark(lock: BaseFileLock) -> bool:
    """Return whether a lock is a mark, for lack of the system's locks."""
    return isinstance(lock, SoftFileLock)
