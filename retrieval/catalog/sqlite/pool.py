"""Connections to one SQLite file, lent to whoever reads for as long as that takes.

However many threads come and go, a few are open, and none is left behind. A file that was put in
the place of the one that was open is seen at the next loan; so is what would end this process: a
shared memory that was cut short under it.
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
REST_SECONDS = 2.0  # that nobody asked for anything, until they are closed

T = TypeVar("T")

# Those of the process that this one was forked from. To close them, as the garbage collector does,
# would take that one's locks away.
_inherited: list["Held"] = []


class Held(NamedTuple):
    """A connection, and which file it is to."""

    file: Hashable
    connection: sqlite3.Connection


class ConnectionPool:
    """May be used from any number of threads, and in a process that was forked."""

    def __init__(
        self,
        path: Path,
        connect: Callable[[], sqlite3.Connection],
        shares_memory: bool = True,
    ) -> None:
        """shares_memory: with other processes, where the file has a WAL."""
        self._path = path
        self._shares_memory = shares_memory
        self._memory = path.with_name(path.name + "-shm")
        self._connect = connect
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._room = threading.Semaphore(MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._idle: list[Held] = []  # the last that came back is the first that goes
        self._open = 0
        self._mapped: tuple[int, int] | None = None  # inode and bytes of the shared memory
        self._used = time.monotonic()
        self._is_closed = False

    @contextmanager
    def lent(self, file: Hashable = None) -> Iterator[sqlite3.Connection]:
        """One to the file that is there now; `file` names it where the inode alone does not.

        Nobody holds two. Raises OSError where there is no file, and what `connect` raises.
        """
        if self._process != os.getpid():
            _inherited.extend(self._idle)
            self._begin()
        with self._room:
            status = os.stat(self._path)
            held = self._take((*identity(status), file))
            try:
                yield held.connection
            except BaseException:  # a statement that was cut short would hold its view of the file
                self._drop([held])
                raise
            self._give_back(held)

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` reads."""
        with self.lent() as connection:
            return work(connection)

    def rest(self, seconds: float = REST_SECONDS) -> None:
        """Close them if nobody asked for so long: the last one writes back what is in the WAL."""
        with self._lock:
            is_idle = time.monotonic() - self._used >= seconds
            idle, self._idle = (self._idle, []) if is_idle else ([], self._idle)
        self._drop(idle)

    def close(self) -> None:
        """One that is lent is closed when it comes back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        self._drop(idle)

    def _take(self, file: Hashable) -> Held:
        with self._lock:
            is_whole = self._sees_to_memory()
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

    def _sees_to_memory(self) -> bool:
        """Whether connections that are open may go on. A file that was cut short would end this
        process by SIGBUS. Emptied and at its length again, it is filled anew by SQLite from the
        WAL; a part of what it held would be believed.
        """
        if self._mapped is None:
            return True
        inode, size = self._mapped
        try:
            status = os.stat(self._memory)
            if status.st_ino == inode and status.st_size < size:
                os.truncate(self._memory, 0)
                os.truncate(self._memory, size)
        except OSError:  # it is gone, or not ours to mend
            return False
        return status.st_ino == inode
