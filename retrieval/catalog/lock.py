"""The write lock: one writer at a time across processes. Others see its holder and progress."""

import errno
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, SoftFileLock, Timeout

from clipmodel.hub.file_lock import acquired, is_mark, mark_of
from retrieval.catalog.sqlite import medium
from retrieval.catalog.sqlite.connection import no_locks
from retrieval.errors import LibraryBusy, LibraryReadOnly, because
from retrieval.paths import create, drop_link
from retrieval.records import Progress, Underway

# Every attempt at the lock empties the lock file, so the holder is described in a file beside it.
LOCK, HOLDER = "write.lock", "write.holder"
BRIEF_SECONDS = 60.0  # a search rebuilds an index file in a second per gigabyte, or in a minute
TELL_SECONDS = 0.5  # between two reports of progress

Tell = Callable[[Progress], None]


@contextmanager
def write_lock(folder: Path, *, is_brief: bool = False) -> Iterator[Tell]:
    """Hold the library for writing. Raises LibraryBusy at once if another process holds it, and
    LibraryReadOnly if the folder cannot be written to.

    Yields a function that reports progress to other processes; it may be called often. is_brief:
    other writers wait for this one instead of failing. The system releases the lock when a process
    dies, so none is left behind; for file systems without locks see `clipmodel.hub.file_lock`.
    """
    try:
        lock = _acquire(folder)
    except Timeout as error:
        raise LibraryBusy(f"the library {folder} is being written{_holder(folder)}") from error
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write to the library {folder}", error) from error
    try:
        if is_mark(lock) and not medium.has_locks(folder):  # SQLite needs locks
            raise no_locks(folder)
        before = _said(folder)
        holder = Holder(folder, is_brief)
        try:
            holder.write()
            _beware_of_other_mounts(folder, lock, before)
            yield holder.tell
        finally:
            holder.remove()
    finally:
        lock.release()


def _beware_of_other_mounts(folder: Path, lock: BaseFileLock, left: dict[str, Any]) -> None:
    """Raise LibraryBusy if a writer came through another mount of the folder: if only one of the
    mounts has locks, neither writer would keep the other out.
    """
    if not is_mark(lock):
        if (mark := mark_of(folder / LOCK)).exists():
            try:
                SoftFileLock(mark, timeout=0, is_singleton=False).acquire().lock.release()
            except Timeout as error:
                said = f"the library {folder} is being written{_marker(mark)}"
                raise LibraryBusy(said) from error
    elif left and not _is_of_the_dead(left):
        raise LibraryBusy(
            f"the library {folder} is being written{_by(left)}; "
            f"if that process is gone, remove {folder / HOLDER}"
        )


class Holder:
    """The lock holder's description of itself, in a file beside the lock."""

    def __init__(self, folder: Path, is_brief: bool) -> None:
        self._path = folder / HOLDER
        self._new = folder / f"{HOLDER}.new"  # replaces the file, so that nobody reads half
        self._began, self._told = time.time(), 0.0  # the first report is written at once
        since = datetime.fromtimestamp(self._began).isoformat(" ", "seconds")
        self._said: dict[str, Any] = {
            "pid": os.getpid(),
            "host": _host(),
            "since": since,
            "brief": is_brief,
        }

    def tell(self, progress: Progress) -> None:
        if (now := time.time()) >= self._told + TELL_SECONDS:
            self._told = now
            done = (progress.done, progress.total, progress.encoded)
            self.write(progress=[*done, now - self._began])

    def write(self, **more: Any) -> None:
        with suppress(OSError):  # not essential; the catalog will report a full disk
            create(self._new)
            self._new.write_text(json.dumps(self._said | more))
            self._new.replace(self._path)

    def remove(self) -> None:
        if os.getpid() != self._said["pid"]:
            return  # a forked child does not hold the lock
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._new.unlink(missing_ok=True)


def underway(folder: Path) -> Underway | None:
    """Return the progress of the index run that holds the library now; None if there is none."""
    held = _said(folder)
    if "progress" not in held or not _is_held(folder):
        return None
    with suppress(TypeError, ValueError):
        done, total, encoded, seconds = held["progress"]
        return Underway(int(done), int(total), int(encoded), float(seconds))
    return None


def _is_held(folder: Path) -> bool:
    """Return whether the lock is held. Called only if there is a holder's file, which a killed
    process leaves behind.
    """
    try:
        lock = acquired(folder / LOCK, timeout=0)
    except Timeout:
        return True
    except PermissionError:
        return _is_locked(folder / LOCK)
    except OSError as error:
        return error.errno == errno.EROFS and _is_locked(folder / LOCK)
    with suppress(OSError):
        (folder / HOLDER).unlink(missing_ok=True)
    lock.release()
    return False


def _is_locked(path: Path) -> bool:
    """Return whether a file that this process may only read is locked by another."""
    import fcntl  # such files exist only on POSIX: Windows lets anyone lock

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _acquire(folder: Path) -> BaseFileLock:
    drop_link(folder / LOCK)  # locking would empty its target
    try:
        return acquired(folder / LOCK, timeout=0)
    except Timeout:
        if not _is_brief(folder):
            raise
        return acquired(folder / LOCK, BRIEF_SECONDS)


def _is_brief(folder: Path) -> bool:
    return bool(_said(folder).get("brief"))


def _holder(folder: Path) -> str:
    if (mark := mark_of(folder / LOCK)).exists():
        return _marker(mark)
    return f"{_by(_said(folder))}; wait until it is done"


def _by(said: dict[str, Any]) -> str:
    if not {"pid", "since"} <= said.keys():
        return " by another process"
    where = f" on {said['host']}" if said.get("host", _host()) != _host() else ""
    return f" by process {said['pid']}{where} since {said['since']}"


def _marker(mark: Path) -> str:
    """Describe who made a mark that cannot be taken over, and what to do if the process is gone."""
    with suppress(OSError, ValueError):
        pid, host, *_ = mark.read_text().split("\n")
        if host and host != _host():
            return f" by process {pid} on {host}; if that process is gone, remove {mark}"
        if pid:
            return f" by process {pid}; wait until it is done"
    return f" by another process; if there is none, remove {mark}"


def _is_of_the_dead(said: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that no longer exists."""
    if said.get("host") != _host() or os.name != "posix":
        return False
    with suppress(OSError, ValueError, TypeError, OverflowError):
        os.kill(int(said["pid"]), 0)
        return int(said["pid"]) == os.getpid()
    return True


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def _said(folder: Path) -> dict[str, Any]:
    """Read the holder's file; it may be one that a killed process left behind."""
    with suppress(OSError, ValueError):
        said = json.loads((folder / HOLDER).read_text())
        return said if isinstance(said, dict) else {}
    return {}
