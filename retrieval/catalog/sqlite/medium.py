"""Tests of what a library's file system supports: locks, shared memory, writing.

Each uses a temporary file of its own, and runs only after a failure or once per process.
"""

import errno
import mmap
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

# Errors of a call that the file system does not support at all.
MISSING = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
# File systems that several machines can write to at once, without shared memory.
NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "smb3", "smbfs",
    "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
}  # fmt: skip


def is_writable(path: Path) -> bool:
    """Return whether this process may write to a file, if it exists, and create files beside it."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def has_locks(folder: Path) -> bool:
    """Return whether byte ranges of files can be locked, as SQLite needs."""
    return _tried(folder, _lock)


def has_shared_memory(folder: Path) -> bool:
    """Return whether processes see what others write to a mapped file, as SQLite's WAL needs."""
    return not is_network(folder) and _maps(os.stat(folder).st_dev, folder)


@cache
def _maps(device: int, folder: Path) -> bool:
    return _tried(folder, _map)


def is_network(folder: Path) -> bool:
    """Return whether other machines may have mounted the folder too; False if that is unknown."""
    if sys.platform != "linux":
        return False
    with suppress(OSError):
        return kind(os.stat(folder).st_dev) in NETWORK
    return False


@cache
def kind(device: int) -> str:
    """Return the file system's type as Linux names it; empty if unknown."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as all:
        for line in all:
            mount, _, source = line.partition(" - ")
            if mount.split()[2] == number:
                return source.split()[0]
    return ""


def _tried(folder: Path, attempt: Callable[[int], None]) -> bool:
    """Return False only if the call is not supported: a full disk or a read-only folder does not
    count.
    """
    if os.name != "posix":
        return True
    try:
        with tempfile.TemporaryFile(prefix=".retrieve-", dir=folder) as file:
            file.truncate(mmap.PAGESIZE)
            attempt(file.fileno())
    except OSError as error:
        return error.errno not in MISSING | {errno.ENODEV, errno.EINVAL}
    return True


def _lock(descriptor: int) -> None:
    import fcntl

    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _map(descriptor: int) -> None:
    mmap.mmap(descriptor, mmap.PAGESIZE, mmap.MAP_SHARED).close()
