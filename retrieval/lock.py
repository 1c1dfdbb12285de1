"""One writer at a time, across processes; the one who waits is told for whom."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from retrieval.errors import LibraryBusy, LibraryReadOnly

# The lock file itself is emptied by whoever tries it, so the holder's name is beside it.
LOCK, HOLDER = "write.lock", "write.holder"
BRIEF_SECONDS = 60.0  # a search makes an index file anew in a second a gigabyte, or a minute


@contextmanager
def write_lock(folder: Path, *, is_brief: bool = False) -> Iterator[None]:
    """Hold the library for writing. Raises LibraryBusy at once when another does, LibraryReadOnly.

    is_brief: so that others wait until it is done. The system lets go of the lock when a process
    dies, so it is never left behind.
    """
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    try:
        _acquire(lock, folder)
    except Timeout as error:
        raise LibraryBusy(f"the library {folder} is being written{_holder(folder)}") from error
    except OSError as error:
        raise LibraryReadOnly(
            f"cannot write to the library {folder}: {error.strerror or error}"
        ) from error
    try:
        now = datetime.now().isoformat(" ", "seconds")
        with suppress(OSError):  # a courtesy; a full disk will be complained of by the catalog
            told = {"pid": os.getpid(), "since": now, "brief": is_brief}
            (folder / HOLDER).write_text(json.dumps(told))
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()
        lock.release()


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire()
    except Timeout:
        if not _is_brief(folder):
            raise
        lock.acquire(timeout=BRIEF_SECONDS)


def _is_brief(folder: Path) -> bool:
    with suppress(OSError, ValueError, TypeError, KeyError):
        return bool(json.loads((folder / HOLDER).read_text())["brief"])
    return False


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text())
        return f" by process {holder['pid']} since {holder['since']}; wait until it is done"
    except (OSError, ValueError, TypeError, KeyError):
        return " by another process; wait until it is done"
