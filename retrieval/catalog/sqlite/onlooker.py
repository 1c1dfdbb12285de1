"""Reading a catalog that this process may not write to, whoever else does.

SQLite's own way needs the memory that writers share, and makes it where nobody writes. Where that
cannot be, the file is read without any lock, and what was read counts only if no file of the
catalog changed meanwhile.
"""

import os
import sqlite3
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from retrieval.catalog.sqlite import medium
from retrieval.catalog.sqlite.connection import connect
from retrieval.catalog.sqlite.pool import ConnectionPool
from retrieval.errors import LibraryBusy
from retrieval.paths import identity

SETTLED = 0.05  # second: a later change has another time; the system's clock ticks every 10 ms
PATIENCE = 5.0  # seconds, in which there must be a moment without changes
PAUSE = 0.01  # second
SOON = 1.0  # second, for a lock

WITHOUT_LOCKS = "win32-none" if os.name == "nt" else "unix-none"

T = TypeVar("T")


class File(NamedTuple):
    """What changes when a file is written to."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Stamp(NamedTuple):
    """The files of a catalog; None for one that is not there."""

    catalog: File | None
    wal: File | None
    journal: File | None
    memory: File | None

    @property
    def is_shared(self) -> bool:
        """Whether there are signs of a process that writes, with which SQLite reads in step."""
        return bool((self.wal and self.memory) or self.journal)

    @property
    def is_half_written(self) -> bool:
        """Whether the file may hold a part of a change; with a WAL it never does."""
        return bool(self.journal and self.journal.size)


class Onlooker:
    """As a `ConnectionPool`, but its connections only read: what is right, or LibraryBusy."""

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._prepare = prepare
        self._is_network = medium.is_network(path.parent)
        self._in_step = ConnectionPool(path, lambda: self._connected("readonly_shm=1"))
        self._alone = ConnectionPool(path, self._connected_alone, shares_memory=False)
        self._last: tuple[Stamp, float] | None = None  # and since when it is so

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` reads; called again where others wrote meanwhile."""
        until = time.monotonic() + PATIENCE
        while True:
            stamp = self._stamp()
            if stamp.is_shared and not self._is_network:
                try:
                    return self._in_step.read(work)
                except sqlite3.OperationalError:
                    stamp = self._stamp()
            if self._is_settled(stamp) and not stamp.is_half_written:
                result = self._read_alone(stamp, work)
                if self._stamp() == stamp:
                    if isinstance(result, sqlite3.Error):
                        raise result
                    return result
            if time.monotonic() > until:
                raise LibraryBusy(_told(self._path.parent, stamp))
            time.sleep(PAUSE)

    def rest(self) -> None:
        self._in_step.rest()
        self._alone.rest()

    def close(self) -> None:
        self._in_step.close()
        self._alone.close()

    def _read_alone(
        self, stamp: Stamp, work: Callable[[sqlite3.Connection], T]
    ) -> T | sqlite3.Error:
        """An error may be due to a change."""
        try:
            with self._alone.lent(stamp) as connection:
                return work(connection)
        except sqlite3.Error as error:
            return error

    # -- what is there ---------------------------------------------------------------------------

    def _stamp(self) -> Stamp:
        """Raises OSError where there is no catalog."""
        self._is_there()
        ends = ("", "-wal", "-journal", "-shm")
        return Stamp(*(_file(self._path.with_name(self._path.name + end)) for end in ends))

    def _is_there(self) -> None:
        if self._is_network:  # to open a file asks the server, to look at it need not
            os.close(os.open(self._path, os.O_RDONLY))
        os.stat(self._path)

    def _is_settled(self, stamp: Stamp) -> bool:
        """Whether a change that is still to come would have another time than the last."""
        now, clock = time.monotonic(), time.time_ns()
        if self._last is None or self._last[0] != stamp:
            self._last = stamp, now
        if now - self._last[1] > SETTLED:
            return True
        times = [t for file in stamp if file for t in (file.mtime_ns, file.ctime_ns)]
        return not self._is_network and max(times) < clock - SETTLED * 1e9

    # -- connections -----------------------------------------------------------------------------

    def _connected_alone(self) -> sqlite3.Connection:
        """With a WAL that is read into memory of its own, or without one."""
        if not self._path.with_name(self._path.name + "-wal").exists():
            return self._connected("immutable=1")
        connection = self._connected(f"vfs={WITHOUT_LOCKS}")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return connection

    def _connected(self, how: str) -> sqlite3.Connection:
        quoted = urllib.parse.quote(os.fsencode(self._path))
        connection = sqlite3.connect(
            f"file:{quoted}?mode=ro&{how}",
            timeout=SOON,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        self._prepare(connection)
        return connection


def source_of(
    path: Path, prepare: Callable[[sqlite3.Connection], None] = lambda connection: None
) -> ConnectionPool | Onlooker:
    """Where connections to a catalog come from. prepare: called with each new one."""
    if path.exists() and not medium.is_writable(path):
        return Onlooker(path, prepare)

    def connected() -> sqlite3.Connection:
        connection = connect(path)
        prepare(connection)
        return connection

    return ConnectionPool(path, connected)


def _told(folder: Path, stamp: Stamp) -> str:
    if stamp.is_half_written:
        return (
            f"the library {folder} is in the middle of a change; try again, or open it once where "
            "it can be written to"
        )
    return f"the library {folder} is being written to by its owner; try again when that is done"


def _file(path: Path) -> File | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return File(*identity(status), status.st_size, *times)
