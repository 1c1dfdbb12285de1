"""Reading a catalog that this process may not write to, but others may.

SQLite itself reads through the memory that writers share, and creates it if nobody writes. If that
is not possible, the file is read without any lock, and the result counts only if no file of the
catalog changed in the meantime.
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

SETTLED_SECONDS = 0.05  # after which a change has a new time; the clock ticks every 10 ms
MAX_WAIT_SECONDS = 5.0  # for a moment without changes
PAUSE_SECONDS = 0.01  # between two attempts
BUSY_SECONDS = 1.0  # for a lock

WITHOUT_LOCKS = "win32-none" if os.name == "nt" else "unix-none"

T = TypeVar("T")


class File(NamedTuple):
    """A file's identity, size and times, at least one of which changes when it is written to."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int


class Stamp(NamedTuple):
    """The state of a catalog's files; None for a missing one."""

    catalog: File | None
    wal: File | None
    journal: File | None
    memory: File | None

    @property
    def is_shared(self) -> bool:
        """Return whether a process seems to be writing; SQLite can then read in step with it."""
        return bool((self.wal and self.memory) or self.journal)

    @property
    def is_half_written(self) -> bool:
        """Return whether the file may contain half a change, which never happens with a WAL."""
        return bool(self.journal and self.journal.size)


class Onlooker:
    """A read-only `ConnectionPool`: its results are consistent, or it raises LibraryBusy."""

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        self._path = path
        self._prepare = prepare
        self._is_network = medium.is_network(path.parent)
        self._in_step = ConnectionPool(path, lambda: self._connected("readonly_shm=1"))
        self._alone = ConnectionPool(path, self._connected_alone, shares_memory=False)
        self._last: tuple[Stamp, float] | None = None  # and when it was first seen

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `work`, which is called again if others wrote in the meantime."""
        until = time.monotonic() + MAX_WAIT_SECONDS
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
            time.sleep(PAUSE_SECONDS)

    def rest(self) -> None:
        self._in_step.rest()
        self._alone.rest()

    def close(self) -> None:
        self._in_step.close()
        self._alone.close()

    def _read_alone(
        self, stamp: Stamp, work: Callable[[sqlite3.Connection], T]
    ) -> T | sqlite3.Error:
        """Return the result, or an error, which may be due to a change."""
        try:
            with self._alone.lent(stamp) as connection:
                return work(connection)
        except sqlite3.Error as error:
            return error

    # -- the state of the files ------------------------------------------------------------------

    def _stamp(self) -> Stamp:
        """Return the state of the files. Raises OSError if there is no catalog."""
        self._is_there()
        ends = ("", "-wal", "-journal", "-shm")
        return Stamp(*(_file(self._path.with_name(self._path.name + end)) for end in ends))

    def _is_there(self) -> None:
        if self._is_network:  # opening a file asks the server; stat alone may not
            os.close(os.open(self._path, os.O_RDONLY))
        os.stat(self._path)

    def _is_settled(self, stamp: Stamp) -> bool:
        """Return whether a change from now on would have a later time than the last one."""
        now, clock = time.monotonic(), time.time_ns()
        if self._last is None or self._last[0] != stamp:
            self._last = stamp, now
        if now - self._last[1] > SETTLED_SECONDS:
            return True
        times = [t for file in stamp if file for t in (file.mtime_ns, file.ctime_ns)]
        return not self._is_network and max(times) < clock - SETTLED_SECONDS * 1e9

    # -- connections -----------------------------------------------------------------------------

    def _connected_alone(self) -> sqlite3.Connection:
        """Open a connection that shares no memory: a WAL, if any, is read into its own."""
        if not self._path.with_name(self._path.name + "-wal").exists():
            return self._connected("immutable=1")
        connection = self._connected(f"vfs={WITHOUT_LOCKS}")
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return connection

    def _connected(self, how: str) -> sqlite3.Connection:
        quoted = urllib.parse.quote(os.fsencode(self._path))
        connection = sqlite3.connect(
            f"file:{quoted}?mode=ro&{how}",
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        self._prepare(connection)
        return connection


def source_of(
    path: Path, prepare: Callable[[sqlite3.Connection], None] = lambda connection: None
) -> ConnectionPool | Onlooker:
    """Return the source of connections to a catalog. prepare: called with each new connection."""
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
            f"the library {folder} has an unfinished change; try again, or run a command once "
            "where the library can be written to"
        )
    return f"another process is writing to the library {folder}; try again when it is done"


def _file(path: Path) -> File | None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return File(*identity(status), status.st_size, *times)
