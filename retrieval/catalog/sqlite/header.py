"""The first bytes of a catalog's file, which are checked before SQLite opens it.

SQLite takes a file of less than a page for a new database, as one may be after a power failure, and
deletes the WAL beside it. In a database of another program it would change the journal mode.

Source of the offsets: https://www.sqlite.org/fileformat2.html#the_database_header
"""

import os
from pathlib import Path

from retrieval.catalog.sqlite.living import alone
from retrieval.errors import CatalogDamaged, InvalidValue, LibraryNotFound, RetrieveError
from retrieval.locate import FILE_NAME, INDEX_FILE

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
MIN_PAGE, MAX_PAGE = 512, 65_536  # bytes of SQLite's smallest and largest page


def check_header(path: Path) -> None:
    """Raise CatalogDamaged for a catalog that is shorter than a page, or missing, although other
    files of its library show that it held something; LibraryNotFound for a file of another program.

    An empty file beside which nothing shows that is a new catalog.
    """
    if path.name != FILE_NAME:  # a repair makes new ones under other names
        return
    with alone(path) as is_alone:
        if not is_alone:  # so it was checked, and closing it here would drop SQLite's locks
            return
        size, head = _size(path), _head(path)
    if not _is_page(size, head):
        _refuse_emptied(path, size)
    elif head.startswith(MAGIC) and any(head[40:44]) and not any(head[60:64]):
        raise LibraryNotFound(  # it has tables, and no version
            f"{path} belongs to another program; use another folder: --library DIR"
        )


def missing(folder: Path) -> RetrieveError:
    """Return why a folder has no catalog: it is no library yet, or has lost it."""
    try:
        check_header(folder / FILE_NAME)
    except CatalogDamaged as error:
        return error
    if folder.is_file():
        return not_a_folder(folder)
    return LibraryNotFound(f"no library yet at {folder}; run `retrieve index FOLDER` to make one")


def not_a_folder(file: Path) -> InvalidValue:
    """Return the error for a file that was named as the library."""
    hint = f"did you mean {file.parent}?" if file.name == FILE_NAME else "name its folder"
    return InvalidValue(f"the library must be a folder, not the file {file}; {hint}")


def is_emptied(path: Path) -> bool:
    """Return whether the file is shorter than a page."""
    return not _is_page(_size(path), _head(path))


def _refuse_emptied(path: Path, size: int) -> None:
    witness = _witness(path)
    if size <= 0 and witness is None:
        return
    said = {-1: "is missing", 0: "is empty"}.get(size, f"has only {size:,} bytes")
    although = f", although {witness} is not" if size <= 0 else ""
    remedy = f"put a backup in its place, or remove {witness or 'it'} to begin a new library"
    if size >= 0 and _size(_wal(path)) > 0:
        remedy = "`retrieve check --repair` saves what its -wal file holds"
    told = f"{said}{although}; {remedy}"
    raise CatalogDamaged(f"{path} {told}") from EOFError(f"it {told}")


def _is_page(size: int, head: bytes) -> bool:
    """Return whether a file has at least the page that its header tells of."""
    page = int.from_bytes(head[16:18], "big") if head.startswith(MAGIC) else MIN_PAGE
    return size >= (MAX_PAGE if page == 1 else page)  # 1 stands for 65,536


def _witness(path: Path) -> str | None:
    """Return the name of a file that was written after the catalog had held something."""
    if _size(wal := _wal(path)) > 0:
        return wal.name
    indexes = (file.name for file in path.parent.glob(INDEX_FILE.format("*")) if file.is_file())
    return min(indexes, default=None)


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEADER_BYTES)
    except OSError:  # SQLite will say why
        return b""


def _size(path: Path) -> int:
    """Return a file's size in bytes; -1 if it is missing."""
    try:
        return os.stat(path).st_size
    except OSError:
        return -1
