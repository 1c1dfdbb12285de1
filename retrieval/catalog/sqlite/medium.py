"""What the file system of a library can do: locks, memory that processes share, being written to.

Asked only where something failed, or once a process: each answer is tried out in a file of its own.
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

# What a call answers that the file system does not have, whatever is in the file.
MISSING = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP}
# Processes of several machines can write there at once; they share no memory.
NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "lustre", "ncpfs", "nfs",
    "nfs4", "ocfs2", "orangefs", "smb3", "smbfs",
    "fuse.ceph-fuse", "fuse.glusterfs", "fuse.juicefs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs",
}  # fmt: skip


def is_writable(path: Path) -> bool:
    """Whether this process may write to a file, if it is there, and make others beside it."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def has_locks(folder: Path) -> bool:
    """Whether byte ranges of files can be locked, as SQLite does it."""
    return _tried(folder, _lock)


def has_shared_memory(folder: Path) -> bool:
    """Whether processes see in a mapped file what others write there; SQLite's WAL needs it."""
    return not is_network(folder) and _maps(os.stat(folder).st_dev, folder)


@cache
def _maps(device: int, folder: Path) -> bool:
    return _tried(folder, _map)


def is_network(folder: Path) -> bool:
    """Whether other machines may have it mounted as well. False where the system does not tell."""
    if sys.platform != "linux":
        return False
    with suppress(OSError):
        return kind(os.stat(folder).st_dev) in NETWORK
    return False


@cache
def kind(device: int) -> str:
    """The file system's type, as Linux names it; empty if unknown."""
    number = f"{os.major(device)}:{os.minor(device)}"
    with suppress(OSError), open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as all:
        for line in all:
            mount, _, source = line.partition(" - ")
            if mount.split()[2] == number:
                return source.split()[0]
    return ""


def _tried(folder: Path, attempt: Callable[[int], None]) -> bool:
    """False only where the call itself is missing: a full disk, or a folder that cannot be written
    to, is another matter.
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
