"""A cache of thumbnails in a file beside the catalog, which may be deleted at any time.

Its size is limited: the least recently used thumbnails are dropped first. If it cannot be read or
written, the server works without it.
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
VERSION = 1  # of how thumbnails are drawn; those of another version are dropped
MAX_BYTES = 1_000_000_000
KEPT_FRACTION = 0.9  # of the limit, when thumbnails have to be dropped
NOTE_SECONDS = 3600.0  # between two records of a thumbnail's use
BUSY_SECONDS = 5.0


class ThumbnailCache:
    """A map from a file's digest to WebP. Safe to use from any number of threads."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._path = folder / FILE_NAME
        self._max_bytes = max_bytes
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
            if not self._path.exists():  # somebody deleted it
                self._make()
            with self._connections.lent() as connection:
                row = (digest, time.time(), webp)
                connection.execute("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", row)
                if (held := _bytes(connection)) > self._max_bytes:
                    _drop_oldest(connection, int(held - KEPT_FRACTION * self._max_bytes))

    def close(self) -> None:
        with self._one_at_a_time:
            self._is_closed = True
        self._connections.close()

    def _make(self) -> None:
        """Create the file if it is missing or damaged; do nothing if that fails."""
        if connection := _opened(self._path):
            connection.close()


def forget(folder: Path, digests: Iterable[bytes]) -> None:
    """Drop the thumbnails of pictures that are no longer in the library."""
    if (folder / FILE_NAME).exists() and (connection := _opened(folder / FILE_NAME)):
        with suppress(sqlite3.Error):
            gone = "DELETE FROM thumbnails WHERE digest = ?"
            connection.executemany(gone, ((digest,) for digest in digests))
        connection.close()


def bytes_of(folder: Path) -> int:
    """Return the size of the cache on disk."""
    return sum(map(size_of, database_files(folder / FILE_NAME)))


def _opened(path: Path) -> sqlite3.Connection | None:
    for _ in range(2):
        try:
            return _with_table(path)
        except (OSError, sqlite3.OperationalError):  # not writable, or the disk is full
            return None
        except sqlite3.DatabaseError:  # damaged, or not a database
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
    connection.execute("PRAGMA synchronous = OFF")  # thumbnails lost in a power cut are redrawn
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
    if (now := time.time()) - used > NOTE_SECONDS:
        with suppress(sqlite3.Error):
            connection.execute("UPDATE thumbnails SET used = ? WHERE digest = ?", (now, digest))
    return bytes(webp)


def _bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes in pages in use: free pages are reused before the file grows."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _drop_oldest(connection: sqlite3.Connection, min_bytes: int) -> None:
    """Drop the least recently used thumbnails until at least `min_bytes` are free."""
    dropped, gone = 0, list[tuple[bytes]]()
    oldest = "SELECT digest, length(webp) FROM thumbnails ORDER BY used"
    for digest, length in connection.execute(oldest):
        gone.append((digest,))
        dropped += length
        if dropped >= min_bytes:
            break
    connection.executemany("DELETE FROM thumbnails WHERE digest = ?", gone)
