"""The protocol of a catalog's database engine: `sqlite/` has one for a file of this machine.

The statements of the other modules are in the SQL that all engines understand, with `?` for
parameters.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from retrieval.errors import RetrieveError
from retrieval.records import Underway

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from retrieval.catalog.lock import Tell

SCHEMA_VERSION = 5
LIST_LENGTH = 10_000  # parameters of one IN (...); SQLite allows 32,766, PostgreSQL 65,535


class Database(Protocol):
    """The database of one library. Safe to use from any number of threads.

    Methods raise LibraryNotFound, LibraryBusy, LibraryReadOnly or CatalogDamaged with a line for
    users, never an error of the engine.
    """

    place: Path  # by which `Catalog.open` finds it again
    where: str  # the place as messages name it
    local_folder: Path  # where this machine keeps what is made from the rows: index, thumbnails
    base: Path | None  # the folder that a root's stored path may be relative to; None: none
    may_have_index: bool  # False: index files in the folder are another catalog's

    def exists(self) -> bool:
        """Return whether there is a library."""

    def missing(self) -> RetrieveError:
        """Return the error for a library that does not exist."""

    def open(self, create: bool) -> None:
        """Bring the tables to SCHEMA_VERSION. create: make the library if there is none.

        Raises also LibraryTooNew.
        """

    def close(self) -> None:
        """Close all connections. The database may be opened again."""

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return every row of one SELECT, as tuples."""

    def transaction(self) -> AbstractContextManager["Connection"]:
        """Begin a transaction that writes, committed at the end unless an error is raised."""

    def running(self) -> AbstractContextManager["Tell"]:
        """Hold the library for an index run; yield a function that reports progress to others."""

    def exclusive(self) -> AbstractContextManager["Tell"]:
        """Hold the library for a change that no index run may meet."""

    def underway(self) -> Underway | None:
        """Return the progress of the index runs of all processes; None if there is none."""

    def checkpoint(self) -> None:
        """Make what is committed complete by itself, as far as readers permit."""

    def rest(self) -> None:
        """Release what is only worth holding while the library is in use."""

    def shrink(self) -> None:
        """Return the space of dropped rows to the disk, if that is possible."""

    def size(self) -> int:
        """Return the size of all tables and indexes in bytes."""

    def backup(self, file: Path, *, replace: bool = False) -> int:
        """Copy everything into one file and verify it; return its size in bytes."""

    def local_time(self, nanoseconds: str) -> str:
        """Return SQL for a time in local ISO 8601 without zone, of an SQL expression."""

    def as_text(self, name: str) -> str:
        """Return SQL for the text of a file name, which may be no text, of an SQL expression."""


def marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def chunks(values: Sequence[int]) -> Iterable[Sequence[int]]:
    for start in range(0, len(values), LIST_LENGTH):
        yield values[start : start + LIST_LENGTH]
