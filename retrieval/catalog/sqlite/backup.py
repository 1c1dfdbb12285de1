"""`retrieve backup`: a copy of the catalog, made while others read and write it."""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from retrieval.catalog.sqlite.connection import BACKUP_ID, cause
from retrieval.errors import CatalogDamaged, LibraryReadOnly, PathNotFound, PathTaken, because
from retrieval.locate import FILE_NAME
from retrieval.paths import part_beside

PAGES = 4_096  # copied at a time, 32 MB; Ctrl-C works in between
# The tables whose row counts are compared with the copy's.
COUNTED = (
    *("models", "roots", "images", "files", "embeddings", "shots", "moments", "texts"),
    *("companions", "left_out"),
)

# Errors of a system, or a file system, without hard links.
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}


def backup(
    catalog: Path,
    read: Callable[[Callable[[sqlite3.Connection], list[int]]], list[int]],
    file: Path,
    *,
    replace: bool = False,
) -> int:
    """Write the whole catalog into one file and verify it; leave no file behind on failure.

    read: calls a function with a connection to the catalog, and returns its result.

    Returns its size in bytes. replace: whether to replace an existing file; a link is replaced, not
    followed. Raises PathTaken, PathNotFound, CatalogDamaged, and LibraryReadOnly if the file cannot
    be written.
    """
    file = Path(os.path.abspath(file))
    _check_name(catalog, file, replace)
    try:
        with part_beside(file, 0o600) as part:  # readable only by its owner
            counts = read(lambda source: _copied(source, part))
            _verify(part, counts, catalog)
            _put(part, file, replace)
    except sqlite3.Error as error:
        raise LibraryReadOnly(f"cannot write {file}: {cause(error)}") from error
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write {file}", error) from error
    return file.stat().st_size


def _check_name(catalog: Path, file: Path, replace: bool) -> None:
    if not os.path.isdir(file.parent):
        raise PathNotFound(f"no such folder: {file.parent}")
    if os.path.isdir(file) and not os.path.islink(file):
        raise PathTaken(f"{file} is a folder; name a file")
    is_there = os.path.lexists(file)
    if is_there and not (file.is_symlink() or file.is_file()):
        raise PathTaken(f"{file} is not a regular file; name another one")
    is_ours = file.name.startswith(FILE_NAME) and os.path.samefile(file.parent, catalog.parent)
    if is_ours or (is_there and file.exists() and os.path.samefile(file, catalog)):
        raise PathTaken(f"{file} belongs to the library itself; name another file")
    if is_there and not replace:
        raise _taken(file)


def _taken(file: Path) -> PathTaken:
    return PathTaken(f"{file} already exists; --force replaces it")


def _copied(source: sqlite3.Connection, part: Path) -> list[int]:
    """Copy a consistent snapshot even while others write; return the row count of each table."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")  # nobody else uses it yet
        source.execute("BEGIN")
        try:
            counts = _counts(source)
            source.backup(copy, pages=PAGES, progress=lambda *_: None)
        except sqlite3.OperationalError as error:  # such as a full disk: the source is only read
            raise LibraryReadOnly(f"cannot write {part.parent}: {cause(error)}") from error
        finally:
            source.execute("ROLLBACK")
    return counts


def _counts(connection: sqlite3.Connection) -> list[int]:
    counted = ", ".join(f"(SELECT count(*) FROM {table})" for table in COUNTED)
    return list(connection.execute(f"SELECT {counted}").fetchone())


def _verify(part: Path, counts: list[int], catalog: Path) -> None:
    """Read the whole copy, and give it a journal mode that works on every file system."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA locking_mode = EXCLUSIVE")
        copy.execute("PRAGMA journal_mode = DELETE")
        [(said,), *_] = copy.execute("PRAGMA integrity_check(1)")
        is_whole = said == "ok" and _counts(copy) == counts
        copy.execute(f"PRAGMA application_id = {BACKUP_ID}")  # see SQLiteDatabase._restore
        # A store beside the catalog will be ahead of the copy by then, so it is to be filled again.
        copy.execute("DELETE FROM settings WHERE name = 'vectors.filled'")
    if not is_whole:
        raise CatalogDamaged(
            f"{catalog} is damaged ({said}), so no copy was kept; "
            "`retrieve check --repair` saves what can still be read"
        )


def _put(part: Path, file: Path, replace: bool) -> None:
    with part.open("rb+") as whole:
        os.fsync(whole.fileno())
    if replace:
        os.replace(part, file)
    else:
        _name(part, file)
    if os.name == "posix":
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _name(part: Path, file: Path) -> None:
    """Give the copy its name without replacing a file that appeared in the meantime."""
    try:
        os.link(part, file)
    except FileExistsError as error:
        raise _taken(file) from error
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if os.path.lexists(file):
            raise _taken(file) from error
        os.rename(part, file)
