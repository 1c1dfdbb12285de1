"""Recovery of a damaged catalog: everything that SQLite can still read becomes a new one.

Losses cost little: the next run finds files without a row, recognises their content, and encodes
pictures without a vector again.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from retrieval.catalog.sqlite.connection import connect
from retrieval.catalog.sqlite.header import MAGIC, is_emptied
from retrieval.locate import FILE_NAME
from retrieval.wording import counted

ROWS = 1_000  # read at a time; if that fails, half as many, down to a single one
MIN_ROW = 32  # bytes; bounds the number of rows that a file can hold
WAL_HEADER, FRAME_HEADER = 32, 24  # bytes
PAGE_SIZES = [1 << bits for bits in range(9, 17)]

Row = tuple[object, ...]


def recover(folder: Path) -> str | None:
    """Recover a catalog; return what was done, or None if nothing was readable and nothing changed.

    The damaged file is kept beside the new one. The caller holds the write lock.
    """
    path, part = folder / FILE_NAME, folder / (FILE_NAME + ".part")
    if not path.exists():
        return None
    _remove(part)
    beside = _set_aside(path)  # first, as SQLite writes a WAL back into the file, or deletes it
    _lengthen(path)
    try:
        rows = _copy(path, part)
    except sqlite3.DatabaseError:  # not even the list of tables can be read
        _remove(part)
        _put_back(beside, path)
        return None
    with part.open("rb") as whole:
        os.fsync(whole.fileno())
    for index in folder.glob("vectors-*"):  # an id may mean another image from now on
        if index.is_file():
            index.unlink()
    for end in ("-wal", "-shm"):  # they belong to the damaged file, and were copied with it
        path.with_name(path.name + end).unlink(missing_ok=True)
    os.replace(part, path)
    return f"{counted(rows, 'row')} saved; the damaged file is kept as {beside.name}"


def _lengthen(path: Path) -> None:
    """Extend a truncated file to the length in its header, or else in its WAL: SQLite reads no
    shorter one, and takes one of less than a page for a new database.
    """
    with path.open("rb") as file:
        head = file.read(32)
    page, pages = int.from_bytes(head[16:18], "big"), int.from_bytes(head[28:32], "big")
    size = path.stat().st_size
    if head.startswith(MAGIC) and size < page * pages < 1024 * max(size, page):
        os.truncate(path, page * pages)
    elif is_emptied(path) and (length := _length_by_wal(path)):
        os.truncate(path, length)


def _length_by_wal(path: Path) -> int:
    """Return the length in bytes that the WAL's last transaction gave the catalog; 0 if none did.

    Source: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
    """
    try:
        wal = path.with_name(path.name + "-wal").read_bytes()
    except OSError:
        return 0
    page, pages = int.from_bytes(wal[8:12], "big"), 0
    if page not in PAGE_SIZES:
        return 0
    for at in range(WAL_HEADER, len(wal) - FRAME_HEADER - page + 1, FRAME_HEADER + page):
        if wal[at + 8 : at + 16] == wal[16:24]:  # the salts: older frames have other ones
            pages = int.from_bytes(wal[at + 4 : at + 8], "big") or pages  # 0: no end of one
    return page * pages


def _copy(path: Path, part: Path) -> int:
    """Copy everything readable from one file into another; return the number of rows."""
    with closing(sqlite3.connect(path)) as damaged, closing(connect(part)) as fresh:
        damaged.text_factory = lambda data: data.decode("utf-8", "replace")
        damaged.execute("PRAGMA cell_size_check = ON")
        fresh.execute("PRAGMA foreign_keys = OFF")  # dangling references are found later
        [(version,)] = damaged.execute("PRAGMA user_version")
        if not (tables := _make_tables(damaged, fresh)):
            raise sqlite3.DatabaseError("no tables are left")
        fresh.execute("BEGIN")
        rows = sum(_copy_table(damaged, fresh, table) for table in tables)
        fresh.execute(f"PRAGMA user_version = {version}")
        fresh.execute("COMMIT")
        return rows


def _make_tables(damaged: sqlite3.Connection, fresh: sqlite3.Connection) -> list[str]:
    """Create the same tables and indexes, empty; return the names of the tables."""
    made = "SELECT name, sql FROM sqlite_schema WHERE type = ? AND sql NOT NULL"
    tables = [row for row in damaged.execute(made, ("table",)) if not row[0].startswith("sqlite_")]
    for _, statement in [*tables, *damaged.execute(made, ("index",))]:
        fresh.execute(statement)
    return [name for name, _ in tables]


def _copy_table(damaged: sqlite3.Connection, fresh: sqlite3.Connection, table: str) -> int:
    columns = list(fresh.execute(f'PRAGMA table_info("{table}")'))
    names = ", ".join(f'"{column[1]}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    insert = f'INSERT OR IGNORE INTO "{table}" ({names}) VALUES ({marks})'
    before = fresh.total_changes
    if _has_rowid(fresh, table):
        for rows in _by_id(damaged, table, names):
            fresh.executemany(insert, rows)
        _keep_sequence(damaged, fresh, table)
    else:
        keys = [column[1] for column in sorted(columns, key=lambda column: column[5]) if column[5]]
        for direction in ("ASC", "DESC"):  # from both ends, up to the damage
            order = ", ".join(f'"{key}" {direction}' for key in keys)
            fresh.executemany(insert, _until_damage(damaged, table, names, order))
    return fresh.total_changes - before


def _has_rowid(connection: sqlite3.Connection, table: str) -> bool:
    try:
        connection.execute(f'SELECT rowid FROM "{table}" LIMIT 0')
    except sqlite3.OperationalError:
        return False
    return True


def _by_id(connection: sqlite3.Connection, table: str, names: str) -> Iterator[list[Row]]:
    """Yield all rows that can be read, skipping those that cannot."""
    within = f'SELECT {names} FROM "{table}" WHERE rowid BETWEEN ? AND ? ORDER BY rowid'
    last = _last_id(connection, table)
    ranges = [(low, min(low + ROWS, last + 1) - 1) for low in range(1, last + 1, ROWS)][::-1]
    while ranges:
        low, high = ranges.pop()
        try:
            yield connection.execute(within, (low, high)).fetchall()
        except sqlite3.DatabaseError:
            if low < high:
                middle = (low + high) // 2
                ranges += [(middle + 1, high), (low, middle)]


def _last_id(connection: sqlite3.Connection, table: str) -> int:
    with suppress(sqlite3.DatabaseError):
        [(last,)] = connection.execute(f'SELECT max(rowid) FROM "{table}"')
        return last or 0
    [(pages,)] = connection.execute("PRAGMA page_count")
    [(size,)] = connection.execute("PRAGMA page_size")
    return int(pages * size // MIN_ROW)


def _until_damage(
    connection: sqlite3.Connection, table: str, names: str, order: str
) -> Iterator[Row]:
    with suppress(sqlite3.DatabaseError):
        yield from connection.execute(f'SELECT {names} FROM "{table}" ORDER BY {order}')


def _keep_sequence(damaged: sqlite3.Connection, fresh: sqlite3.Connection, table: str) -> None:
    """Make sure that ids are not used a second time."""
    with suppress(sqlite3.DatabaseError):  # not every table has such ids
        used = damaged.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,))
        [(last,)] = [*used] or [(0,)]
        given = "SELECT max(seq) FROM sqlite_sequence WHERE name = ?"
        [(here,)] = fresh.execute(given, (table,))
        fresh.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        fresh.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, max(last, here or 0)))


def _set_aside(path: Path) -> Path:
    """Copy the damaged file and its WAL to a new name."""
    names = (f"{path.name}.damaged-{number}" for number in range(1, 1_000_000))
    beside = next(path.with_name(name) for name in names if not path.with_name(name).exists())
    shutil.copy2(path, beside)
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        shutil.copy2(wal, beside.with_name(beside.name + "-wal"))
    return beside


def _put_back(beside: Path, path: Path) -> None:
    """Undo `_set_aside`, and whatever SQLite did to the files since."""
    wal = beside.with_name(beside.name + "-wal")
    os.replace(beside, path)
    if wal.exists():
        os.replace(wal, path.with_name(path.name + "-wal"))


def _remove(part: Path) -> None:
    """Remove the files that an interrupted attempt left behind."""
    for end in ("", "-wal", "-shm", "-journal"):
        part.with_name(part.name + end).unlink(missing_ok=True)
