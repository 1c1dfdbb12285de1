"""A connection to the catalog's SQLite file, and its complaints in the user's words."""

import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import (
    CatalogDamaged,
    LibraryBusy,
    LibraryReadOnly,
    RetrieveError,
)

FILE_NAME = "catalog.sqlite"
PAGE_SIZE = 8192  # seven 1 KB vectors a page, in 1.37 KB an image all told; 4096: three, in 1.57 KB
BUSY_SECONDS = 30.0  # how long a statement waits for another process's transaction


def connect(path: Path) -> sqlite3.Connection:
    """In autocommit mode; on a medium that cannot be written to, for reading only."""
    address, is_uri = os.fspath(path), False
    if not os.access(path.parent, os.W_OK) and path.exists():
        quoted = urllib.parse.quote(os.fsencode(path))
        wal = path.with_name(path.name + "-wal")
        immutable = "" if wal.exists() and wal.stat().st_size else "&immutable=1"
        address, is_uri = f"file:{quoted}?mode=ro{immutable}", True
    connection = sqlite3.connect(
        address, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=is_uri
    )
    try:
        if not is_uri:
            connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # heeded by an empty file only
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn what SQLite complains of (or SQLAlchemy for it) into errors that a user understands."""
    try:
        yield
    except RetrieveError:
        raise
    except Exception as error:
        cause = getattr(error, "orig", error)
        if isinstance(cause, sqlite3.DatabaseError) and (ours := _explain(cause, folder)):
            raise ours from error
        raise


def _explain(error: sqlite3.DatabaseError, folder: Path) -> RetrieveError | None:
    said = str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the extended part
    match code:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return LibraryReadOnly(f"cannot write to the library {folder}: {said}")
        case sqlite3.SQLITE_IOERR:
            return LibraryReadOnly(f"cannot read or write the library {folder}: {said}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LibraryBusy(f"another process is writing to {folder}; try again")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CatalogDamaged(
                f"{folder / FILE_NAME} is damaged ({said}); "
                "`retrieve check --repair` saves what can be read of it"
            )
    return None
