"""Thumbnails that were made once, in a file beside the catalog that may be deleted at any time.

Of bounded size; those that nobody asked for the longest go first. Where it cannot be read or
written, it is done without.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from retrieval.catalog.sqlite.pool import ConnectionPool
from retrieval.paths import database_files, drop_link, size_of

FILE_NAME = "thumbnails.sqlite"
VERSION = 1  # of how they are drawn: those of another one are dropped
MOST_BYTES = 1_000_000_000
SPARED = 0.9  # of the bound, that is left when there were too many
HOUR = 3600.0  # so often is it noted that one was asked for
BUSY_SECONDS = 5.0


class ThumbnailCache:
    """Digest of a picture's file -> WebP. May be used from any number of threads."""

    def __init__(self, folder: Path, most: int = MOST_BYTES) -> None:
        self._path = folder / FILE_NAME
        self._most = most
        self._one_at_a_time = threading.Lock()
        self._connections = ConnectionPool(self._path, lambda: _with_table(self._path))
        self._is_closed = False
        self._make()

    def get(self, digest: bytes) -> bytes | None:
        with self._one_at_a_time, suppress(sqlite3.Error, OSError):
            if self._is_closed:
                return None
            with self._connections.lent() as connection:
                return _get(connection, digest)
        return None

    def put(self, digest: bytes, webp: bytes) -> None:
        with self._one_at_a_time, suppress(sqlite3.Error, OSError):
            if self._is_closed:
                return
            if not self._path.exists():  # it may be deleted at any time
                self._make()
            with self._connections.lent() as connection:
                row = (digest, time.time(), webp)
                connection.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", row)
                if (held := _bytes(connection)) > self._most:
                    _drop_oldest(connection, int(held - SPARED * self._most))

    def close(self) -> None:
        with self._one_at_a_time:
            self._is_closed = True
        self._connections.close()

    def _make(self) -> None:
        """The file, if it is not there or damaged, and can be."""
        if connection := _opened(self._path):
            connection.close()


def forget(folder: Path, digests: Iterable[bytes]) -> None:
    """Drop the thumbnails of pictures that the library does not know any more."""
    if (folder / FILE_NAME).exists() and (connection := _opened(folder / FILE_NAME)):
        with suppress(sqlite3.Error):
            gone = "DELETE FROM thumbnails WHERE digest = ?"
            connection.executemany(gone, ((digest,) for digest in digests))
        connection.close()


def bytes_of(folder: Path) -> int:
    """On disk."""
    return sum(map(size_of, database_files(folder / FILE_NAME)))


def _opened(path: Path) -> sqlite3.Connection | None:
    for _ in range(2):
        try:
            return _with_table(path)
        except (OSError, sqlite3.OperationalError):  # it cannot be written, or the disk is full
            return None
        except sqlite3.DatabaseError:  # damaged, or something else
            with suppress(OSError):
                path.unlink()
    return None


def _with_table(path: Path) -> sqlite3.Connection:
    for each in database_files(path):
        drop_link(each)
    connection = sqlite3.connect(path, BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _make_table(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _make_table(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")  # what a power cut takes is drawn again
    connection.execute("PRAGMA secure_delete = FAST")
    [(version,)] = connection.execute("PRAGMA user_version")
    if version != VERSION:
        connection.execute("DROP TABLE IF EXISTS thumbnails")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS thumbnails (digest BLOB PRIMARY KEY, used FLOAT, webp BLOB)"
    )
    connection.execute("CREATE INDEX IF NOT EXISTS by_use ON thumbnails (used)")


def _get(connection: sqlite3.Connection, digest: bytes) -> bytes | None:
    found = "SELECT webp, used FROM thumbnails WHERE digest = ?"
    row = connection.execute(found, (digest,)).fetchone()
    if row is None:
        return None
    webp, used = row
    if (now := time.time()) - used > HOUR:
        with suppress(sqlite3.Error):
            connection.execute("UPDATE thumbnails SET used = ? WHERE digest = ?", (now, digest))
    return bytes(webp)


def _bytes(connection: sqlite3.Connection) -> int:
    """In the pages that are in use; dropped ones are filled again before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _drop_oldest(connection: sqlite3.Connection, least: int) -> None:
    """So many that at least `least` bytes are free."""
    dropped, gone = 0, list[tuple[bytes]]()
    oldest = "SELECT digest, length(webp) FROM thumbnails ORDER BY used"
    for digest, length in connection.execute(oldest):
        gone.append((digest,))
        dropped += length
        if dropped >= least:
            break
    connection.executemany("DELETE FROM thumbnails WHERE digest = ?", gone)
