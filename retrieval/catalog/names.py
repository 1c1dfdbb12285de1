"""Names in a library, for shell completion; read without NumPy, within a time limit."""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from retrieval.catalog.sqlite.onlooker import source_of
from retrieval.errors import RetrieveError

MAX_SECONDS = 0.5  # for one query
STEPS = 10_000  # of SQLite's virtual machine between two looks at the clock


def folders(catalog: Path) -> set[bytes]:
    """Return the names of folders that contain files, and of the roots."""
    paths = {path.rpartition(b"/")[0] for path in _column(catalog, "SELECT path FROM files")}
    names = {name for path in paths for name in path.split(b"/")}
    names |= {path.rpartition(b"/")[2] for path in _column(catalog, "SELECT path FROM roots")}
    return names - {b".."}


def cameras(catalog: Path) -> list[str]:
    return _column(catalog, "SELECT DISTINCT camera FROM shots WHERE camera IS NOT NULL")


def formats(catalog: Path) -> list[str]:
    return _column(catalog, "SELECT DISTINCT lower(format) FROM images")


def _column(catalog: Path, statement: str) -> list[Any]:
    """Return the rows that are read in time; none if the catalog is missing or damaged."""
    if not catalog.is_file():
        return []
    until = time.monotonic() + MAX_SECONDS

    def values(connection: sqlite3.Connection) -> list[Any]:
        found = list[Any]()
        connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            found.extend(value for (value,) in connection.execute(statement))
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        return found

    with suppress(sqlite3.Error, OSError, RetrieveError), closing(source_of(catalog)) as source:
        return source.read(values)
    return []
