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


@contextmanager
def write_lock(folder: Path) -> Iterator[None]:
    """Hold the library for writing. Raises LibraryBusy at once when another does, LibraryReadOnly.

    The system lets go of it when a process dies, so it is never left behind.
    """
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise LibraryBusy(f"the library {folder} is being written{_holder(folder)}") from error
    except OSError as error:
        raise LibraryReadOnly(
            f"cannot write to the library {folder}: {error.strerror or error}"
        ) from error
    try:
        now = datetime.now().isoformat(" ", "seconds")
        with suppress(OSError):  # a courtesy; a full disk will be complained of by the catalog
            (folder / HOLDER).write_text(json.dumps({"pid": os.getpid(), "since": now}))
        yield
    finally:
        with suppress(OSError):
            (folder / HOLDER).unlink()
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER).read_text())
        return f" by process {holder['pid']} since {holder['since']}; wait until it is done"
    except (OSError, ValueError, TypeError, KeyError):
        return " by another process; wait until it is done"
