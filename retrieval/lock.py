"""One writer at a time, across processes; the others are told who, and how far it has come."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from retrieval.errors import LibraryBusy, LibraryReadOnly
from retrieval.records import Progress, Underway

# The lock file itself is emptied by whoever tries it, so the holder's name is beside it.
LOCK, HOLDER = "write.lock", "write.holder"
BRIEF_SECONDS = 60.0  # a search makes an index file anew in a second a gigabyte, or a minute
TELL_SECONDS = 0.5  # between two notes of how far a run has come

Tell = Callable[[Progress], None]


@contextmanager
def write_lock(folder: Path, *, is_brief: bool = False) -> Iterator[Tell]:
    """Hold the library for writing. Raises LibraryBusy at once when another does, LibraryReadOnly.

    Yields what tells others how far it has come, to be called as often as one likes. is_brief: so
    that they wait until it is done. The system lets go of the lock when a process dies, so it is
    never left behind.
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
    holder = Holder(folder, is_brief)
    try:
        holder.write()
        yield holder.tell
    finally:
        holder.remove()
        lock.release()


class Holder:
    """What the holder of the lock says of itself, in a file beside it."""

    def __init__(self, folder: Path, is_brief: bool) -> None:
        self._path = folder / HOLDER
        self._new = folder / f"{HOLDER}.new"  # takes its place, so that nobody reads half of it
        self._began, self._told = time.time(), 0.0  # the first note is written at once
        since = datetime.fromtimestamp(self._began).isoformat(" ", "seconds")
        self._said: dict[str, Any] = {"pid": os.getpid(), "since": since, "brief": is_brief}

    def tell(self, progress: Progress) -> None:
        if (now := time.time()) >= self._told + TELL_SECONDS:
            self._told = now
            done = (progress.done, progress.total, progress.encoded)
            self.write(progress=[*done, now - self._began])

    def write(self, **more: Any) -> None:
        with suppress(OSError):  # a courtesy; a full disk will be complained of by the catalog
            self._new.write_text(json.dumps(self._said | more))
            self._new.replace(self._path)

    def remove(self) -> None:
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._new.unlink(missing_ok=True)


def underway(folder: Path) -> Underway | None:
    """How far the index run has come that holds the library now; None where there is none."""
    held = _said(folder)
    if "progress" not in held or not _is_held(folder):
        return None
    with suppress(TypeError, ValueError):
        done, total, encoded, seconds = held["progress"]
        return Underway(int(done), int(total), int(encoded), float(seconds))
    return None


def _is_held(folder: Path) -> bool:
    """Asked only where a holder's file is there; one that was killed has left it behind."""
    lock = FileLock(folder / LOCK, timeout=0, is_singleton=False)
    try:
        with lock:
            (folder / HOLDER).unlink(missing_ok=True)
    except Timeout:
        return True
    except OSError:
        pass
    return False


def _acquire(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire()
    except Timeout:
        if not _is_brief(folder):
            raise
        lock.acquire(timeout=BRIEF_SECONDS)


def _is_brief(folder: Path) -> bool:
    return bool(_said(folder).get("brief"))


def _holder(folder: Path) -> str:
    said = _said(folder)
    if {"pid", "since"} <= said.keys():
        return f" by process {said['pid']} since {said['since']}; wait until it is done"
    return " by another process; wait until it is done"


def _said(folder: Path) -> dict[str, Any]:
    """What the holder of the lock, or one that was killed, says of itself."""
    with suppress(OSError, ValueError):
        said = json.loads((folder / HOLDER).read_text())
        return said if isinstance(said, dict) else {}
    return {}
