"""The open connections of this process to catalogs.

POSIX drops all locks of a process on a file when it closes any descriptor of it. SQLite counts on
them: another process that believes itself alone deletes the WAL. So while a connection lives,
nothing else may open the file and close it again; SQLite itself takes care of that.
Source: https://www.sqlite.org/howtocorrupt.html, "POSIX advisory locks canceled by a separate
thread doing close()".
"""

import os
import sqlite3
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from clipmodel.pools import Lock
from retrieval.paths import identity

_lock = Lock()
_living: WeakSet["CatalogConnection"] = WeakSet()


class CatalogConnection(sqlite3.Connection):
    """A connection that is known as long as it is open."""

    def __init__(self, path: Path, *options: Any, **named: Any) -> None:
        with _lock:  # before its first statement, which opens the file
            self.file = _file(path)
            _living.add(self)
        super().__init__(path, *options, **named)

    def close(self) -> None:
        super().close()
        with _lock:
            _living.discard(self)


@contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Yield whether no connection of this process has a file; none is made in the meantime."""
    with _lock:
        file = _file(path)
        yield all(each.file not in (file, None) for each in _living)


def _file(path: Path) -> Hashable:
    """Return what identifies a file; None if it is not there yet."""
    try:
        return identity(os.stat(path))
    except OSError:
        return None
