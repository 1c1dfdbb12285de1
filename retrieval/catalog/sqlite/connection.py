"""Connections to the catalog's SQLite file, and its errors, explained to users."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from retrieval.catalog.sqlite import medium
from retrieval.catalog.sqlite.header import check_header
from retrieval.catalog.sqlite.living import CatalogConnection
from retrieval.errors import (
    SPENT,
    CatalogDamaged,
    LibraryBusy,
    LibraryNotFound,
    LibraryReadOnly,
    RetrieveError,
    TooManyOpenFiles,
)
from retrieval.locate import FILE_NAME
from retrieval.paths import database_files

PAGE_SIZE = 8192  # bytes: 7 vectors of 1 KB, 1.37 KB per image in all; with 4096: 3, and 1.57 KB
BUSY_SECONDS = 30.0  # that a statement waits for another process's transaction
FIRST_BUSY_SECONDS = 0.25  # that a new connection waits before the file system is tested
CHECKPOINT_SECONDS = 1.0  # that a checkpoint waits for readers
MAX_FILES = 4  # that SQLite may open for one connection
BACKUP_ID = int.from_bytes(b"back")  # SQLite's application_id of a backup until it is restored


class NoLocks(LibraryReadOnly):
    """The library's file system cannot lock files, so two processes could write at once."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a catalog for reading and writing, in autocommit mode.

    Raises NoLocks, LibraryReadOnly, CatalogDamaged, and SQLite's own errors.
    """
    _refuse_links(path)
    check_header(path)
    try:
        return _connected(path, FIRST_BUSY_SECONDS)
    except sqlite3.OperationalError as error:
        if _code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR):
            raise
        if not medium.has_locks(path.parent):
            raise no_locks(path.parent) from error
        if not medium.has_shared_memory(path.parent):
            _without_wal(path)
    return _connected(path, BUSY_SECONDS)


def _refuse_links(path: Path) -> None:
    """Raise LibraryReadOnly if a file is a link: SQLite would write to its target, which may belong
    to somebody else, since a library can come from anywhere.
    """
    for file in database_files(path):
        if os.path.islink(file):
            raise LibraryReadOnly(
                f"{file} is a link, which a library may not contain; "
                "replace it with the file itself, or remove it"
            )


def no_locks(folder: Path) -> NoLocks:
    return NoLocks(
        f"the file system of {folder} has no locks, so it cannot hold a library; "
        "keep the library elsewhere: --library DIR"
    )


def _connected(path: Path, patience: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
        factory=CatalogConnection,
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # only takes effect in an empty file
        _choose_journal(connection, path.parent)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _choose_journal(connection: sqlite3.Connection, folder: Path) -> None:
    """Use a WAL if the file system supports shared memory, else an ordinary journal. Support is
    tested first: a failed switch makes the catalog unusable for everybody until it is undone.
    """
    [(held,)] = connection.execute("PRAGMA journal_mode")
    if held == "wal" and not medium.is_network(folder):
        return
    wanted = "wal" if medium.has_shared_memory(folder) else "delete"
    if held != wanted:
        connection.execute("PRAGMA busy_timeout = 0")  # not while others have it open
        with suppress(sqlite3.OperationalError):
            connection.execute(f"PRAGMA journal_mode = {wanted}")


def _without_wal(path: Path) -> None:
    """Switch a catalog to an ordinary journal, and write its WAL back. This needs no shared memory
    as long as nobody else has the catalog open.
    """
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, factory=CatalogConnection
    )
    with closing(connection):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = DELETE")


def checkpoint(path: Path) -> None:
    """Write everything committed into the file itself, so that it is complete without its WAL.

    Pages that readers still need stay in the WAL; closing those readers writes them back.
    """
    with suppress(sqlite3.Error, RetrieveError), closing(connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_SECONDS * 1000:.0f}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def shrink(path: Path) -> None:
    """Return the space of dropped rows to the disk, if there is room to write the file again.

    Otherwise the catalog reuses that space.
    """
    with suppress(sqlite3.OperationalError), closing(connect(path)) as connection:
        connection.execute("VACUUM")
    checkpoint(path)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite, also if wrapped by SQLAlchemy, into errors that users understand."""
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
    match _code(error):
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR if _no_more_files():
            return TooManyOpenFiles(f"cannot open the library {folder}: {SPENT}")
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN:
            return LibraryReadOnly(f"cannot write to the library {folder}: {said}")
        case sqlite3.SQLITE_IOERR:
            return LibraryReadOnly(f"cannot read or write the library {folder}: {said}")
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LibraryBusy(f"another process is writing to {folder}; try again")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CatalogDamaged(
                f"{folder / FILE_NAME} is damaged ({said}); "
                "`retrieve check --repair` saves what can still be read"
            )
        case sqlite3.SQLITE_ERROR if "no such table" in said:  # it replaced another one just now
            return LibraryNotFound(f"the library {folder} is being made; try again")
    return None


def cause(error: sqlite3.Error) -> str:
    """Return why a statement failed: SQLite's reason, or that no more files can be opened."""
    return SPENT if _no_more_files() else str(error)


def _code(error: sqlite3.DatabaseError) -> int:
    """Return SQLite's primary error code."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def _no_more_files() -> bool:
    """Return whether this process can open no more files, which SQLite does not report."""
    try:
        with ExitStack() as opened:
            for _ in range(MAX_FILES):
                opened.enter_context(open(os.devnull, "rb"))
    except OSError:
        return True
    return False
