"""A pool of connections to one SQLite file, each lent to one reader at a time.

A few connections serve any number of threads, and none is left behind. Each loan checks whether
the file was replaced, and whether the WAL's shared memory was truncated, which would crash this
process.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from retrieval.paths import identity

MAX_CONNECTIONS = 8  # open at a time; more than there are processors would only wait
REST_SECONDS = 2.0  # without a loan, after which idle connections are closed

T = TypeVar("T")

# Connections of the process that this one was forked from. Closing them, as the garbage collector
# does, would release the locks of that process.
_inherited: list["Held"] = []


class Held(NamedTuple):
    """A connection, and the file that it belongs to."""

    file: Hashable
    connection: sqlite3.Connection


class ConnectionPool:
    """A pool that may be used from any number of threads, and in forked processes."""

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        shares_memory: bool = True,
    ) -> None:
        """Make a pool. shares_memory: whether other processes share the memory of a WAL."""
        self._path = path
        self._shares_memory = shares_memory
        self._memory = path.with_name(path.name + "-shm")
        self._connect = connect
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._room = threading.Semaphore(MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._idle: list[Held] = []  # the last returned is lent first
        self._open = 0
        self._mapped: tuple[int, int] | None = None  # inode and bytes of the shared memory
        self._used = time.monotonic()
        self._is_closed = False

    @contextmanager
    def lent(self, file: Hashable = None) -> Iterator[sqlite3.Connection]:
        """Lend a connection to the current file. file: tells versions with the same inode apart.

        A caller must not hold two at once. Raises OSError if there is no file, and the errors of
        `connect`.
        """
        if self._process != os.getpid():
            _inherited.extend(self._idle)
            self._begin()
        with self._room:
            status = os.stat(self._path)
            held = self._take((*identity(status), file))
            try:
                yield held.connection
            except BaseException:  # an interrupted statement would keep its snapshot
                self._drop([held])
                raise
            self._give_back(held)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `work`, which is called with a connection."""
        with self.lent() as connection:
            return work(connection)

    def rest(self, seconds: float = REST_SECONDS) -> None:
        """Close the idle connections after so many seconds without a loan. The last one to close
        writes the WAL back.
        """
        with self._lock:
            is_idle = time.monotonic() - self._used >= seconds
            idle, self._idle = (self._idle, []) if is_idle else ([], self._idle)
        self._drop(idle)

    def close(self) -> None:
        """Close the idle connections now, and each lent one when it is returned."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        self._drop(idle)

    def _take(self, file: Hashable) -> Held:
        with self._lock:
            is_whole = self._has_usable_memory()
            same = [held for held in self._idle if held.file == file and is_whole]
            others = [held for held in self._idle if held not in same]
            held, self._idle = (same[-1], same[:-1]) if same else (None, [])
        self._drop(others)
        if held is None:
            held = Held(file, self._connect())
            with self._lock:
                self._open += 1
        return held

    def _give_back(self, held: Held) -> None:
        with self._lock:
            self._used = time.monotonic()
            is_kept = not self._is_closed
            if is_kept:
                self._idle.append(held)
                self._note_memory()
        if not is_kept:
            self._drop([held])

    def _drop(self, held: list[Held]) -> None:
        for each in held:
            each.connection.close()
        with self._lock:
            self._open -= len(held)
            if not self._open:
                self._mapped = None

    # -- the shared memory of a WAL --------------------------------------------------------------

    def _note_memory(self) -> None:
        if not self._shares_memory:
            return
        try:
            status = os.stat(self._memory)
        except OSError:  # another kind of journal
            self._mapped = None
        else:
            self._mapped = status.st_ino, status.st_size

    def _has_usable_memory(self) -> bool:
        """Return whether open connections may still be used; restore a truncated memory file.

        Its missing pages would end this process by SIGBUS. It is emptied first, then extended to
        its length: SQLite fills zeros again from the WAL, but would trust a remaining part.
        """
        if self._mapped is None:
            return True
        inode, size = self._mapped
        try:
            status = os.stat(self._memory)
            if status.st_ino == inode and status.st_size < size:
                os.truncate(self._memory, 0)
                os.truncate(self._memory, size)
        except OSError:  # it is gone, or not writable
            return False
        return status.st_ino == inode
