"""A copy of the catalog while others read and write it: `retrieve backup`."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import cause
from retrieval.errors import CatalogDamaged, LibraryReadOnly, PathNotFound, PathTaken, because
from retrieval.locate import FILE_NAME

PAGES = 4_096  # copied at a time, 32 MB; Ctrl-C is heeded in between
# Rows of these are compared with the copy's.
COUNTED = ("models", "roots", "images", "files", "embeddings", "shots", "moments", "texts")

# What a system answers that has no second names for a file, or not here.
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK, errno.EXDEV}


def backup(catalog: Catalog, file: Path, *, replace: bool = False) -> int:
    """Write all that the catalog holds into one file, checked, whole or not at all; returns its
    size in bytes.

    replace: a file of that name; a link is replaced itself, not followed. Raises PathTaken,
    PathNotFound, LibraryReadOnly where it cannot be written, CatalogDamaged.
    """
    file = Path(os.path.abspath(file))
    _check_name(catalog, file, replace)
    try:
        with _beside(file) as part:
            counts = catalog.read(lambda source: _copied(source, part))
            _verify(part, counts, catalog)
            _put(part, file, replace)
    except sqlite3.Error as error:
        raise LibraryReadOnly(f"cannot write {file}: {cause(error)}") from error
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write {file}", error) from error
    return file.stat().st_size


def _check_name(catalog: Catalog, file: Path, replace: bool) -> None:
    if not file.parent.is_dir():
        raise PathNotFound(f"no such folder: {file.parent}")
    if file.is_dir() and not file.is_symlink():
        raise PathTaken(f"{file} is a folder; name a file")
    is_there = os.path.lexists(file)
    if is_there and not (file.is_symlink() or file.is_file()):
        raise PathTaken(f"{file} is not a regular file; name another one")
    is_ours = file.name.startswith(FILE_NAME) and os.path.samefile(file.parent, catalog.folder)
    if is_ours or (is_there and file.exists() and os.path.samefile(file, catalog.path)):
        raise PathTaken(f"{file} belongs to the library itself; name another file")
    if is_there and not replace:
        raise _taken(file)


def _taken(file: Path) -> PathTaken:
    return PathTaken(f"{file} exists already; --force replaces it")


@contextmanager
def _beside(file: Path) -> Iterator[Path]:
    """An empty file of ours, that nobody else can read, and that is gone afterwards."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    no_follow = getattr(os, "O_NOFOLLOW", 0)
    part.unlink(missing_ok=True)  # of a process that was killed, and had our number
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | no_follow, 0o600))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _copied(source: sqlite3.Connection, part: Path) -> list[int]:
    """Copy what is there at one moment, whoever writes meanwhile; returns how many rows."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")  # it is nobody's yet
        source.execute("BEGIN")
        try:
            counts = _counts(source)
            source.backup(copy, pages=PAGES, progress=lambda *_: None)
        except sqlite3.OperationalError as error:  # as a full disk; the source is only read
            raise LibraryReadOnly(f"cannot write {part.parent}: {cause(error)}") from error
        finally:
            source.execute("ROLLBACK")
    return counts


def _counts(connection: sqlite3.Connection) -> list[int]:
    counted = ", ".join(f"(SELECT count(*) FROM {table})" for table in COUNTED)
    return list(connection.execute(f"SELECT {counted}").fetchone())


def _verify(part: Path, counts: list[int], catalog: Catalog) -> None:
    """Read all of it. It becomes a file that other programs can read wherever it lies."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA locking_mode = EXCLUSIVE")
        copy.execute("PRAGMA journal_mode = DELETE")
        [(said,), *_] = copy.execute("PRAGMA integrity_check(1)")
        is_whole = said == "ok" and _counts(copy) == counts
    if not is_whole:
        raise CatalogDamaged(
            f"{catalog.path} is damaged ({said}), and no copy was kept; "
            "`retrieve check --repair` saves what can be read of it"
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
    """In the place of nothing: what came there meanwhile stays."""
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
