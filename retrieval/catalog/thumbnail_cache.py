"""Caches of pictures to show, each in a file beside the catalog that may be deleted at any time:
thumbnails, and renditions, which are larger and only of files that take long to decode.

Their sizes are limited: the least recently used pictures are dropped first. If a cache cannot be
read or written, the server works without it.
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
RENDITIONS_NAME = "renditions.sqlite"
FILE_NAMES = (FILE_NAME, RENDITIONS_NAME)
VERSION = 2  # of how pictures are drawn; those of another version are dropped
MAX_BYTES = 1_000_000_000
KEPT_FRACTION = 0.9  # of the limit, when thumbnails have to be dropped
NOTE_SECONDS = 3600.0  # between two records of a thumbnail's use
BUSY_SECONDS = 5.0
MAX_NAME = 15  # bytes behind a digest


class ThumbnailCache:
    """A map from a file's digest, perhaps with a name behind it, to WebP.

    Safe to use from any number of threads.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, name: str = FILE_NAME) -> None:
        self._path = folder / name
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
    """Drop what is cached of pictures that are no longer in the library."""
    rows = [(digest, digest + b"\xff" * (MAX_NAME + 1)) for digest in digests]
    for name in FILE_NAMES:
        if (folder / name).exists() and (connection := _opened(folder / name)):
            with suppress(sqlite3.Error):
                gone = "DELETE FROM thumbnails WHERE digest BETWEEN ? AND ?"
                connection.executemany(gone, rows)
            connection.close()


def bytes_of(folder: Path) -> int:
    """Return the size of the caches on disk."""
    return sum(size_of(file) for name in FILE_NAMES for file in database_files(folder / name))


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
