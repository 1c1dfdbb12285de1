"""The protocol of a catalog's database engine: `sqlite/` has one for a file of this machine,
`postgresql/` one for a server.

The statements of the other modules are in the SQL that all engines understand, with `?` for
parameters.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from retrieval.errors import RetrieveError
from retrieval.locate import Place
from retrieval.records import Underway

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from retrieval.catalog.lock import Tell

SCHEMA_VERSION = 5
LIST_LENGTH = 10_000  # parameters of one IN (...); SQLite allows 32,766, PostgreSQL 65,535


class Trigger(NamedTuple):
    """Statements that run after each change of a row of a table, which they call OLD and NEW."""

    name: str
    table: str
    event: str  # INSERT, UPDATE or DELETE
    statements: Sequence[str]
    columns: Sequence[str] = ()  # of an update: it has changed one of these


class Database(Protocol):
    """The database of one library. Safe to use from any number of threads.

    Methods raise LibraryNotFound, LibraryBusy, LibraryReadOnly, LibraryUnreachable or
    CatalogDamaged with a line for users, never an error of the engine.
    """

    @property
    def place(self) -> Place:
        """The place by which `Catalog.open` finds it again."""

    @property
    def where(self) -> str:
        """The place as messages name it."""

    @property
    def local_folder(self) -> Path:
        """The folder in which this machine keeps what is made from the rows: index, thumbnails."""

    @property
    def base(self) -> Path | None:
        """The folder that a root's stored path may be relative to; None if there is none."""

    @property
    def may_have_index(self) -> bool:
        """False if index files in the folder are another catalog's."""

    @property
    def is_shared(self) -> bool:
        """True if several index runs may write at once, on many machines: each renews only its own
        machine's files.
        """

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

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """Run a repair, which may leave dangling references; return how many rows it changed."""

    def running(self) -> AbstractContextManager["Tell"]:
        """Hold the library for an index run; yield a function that reports progress to others."""

    def renewing(self) -> AbstractContextManager[object]:
        """Hold this machine's files, within `running`. Raises LibraryBusy."""

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

    def changes(self) -> int | None:
        """Return a number that each transaction changes; None if there is none."""

    def stamp(self, digest: str) -> str:
        """Return what the name of a valid index file of this model has behind the digest: another
        one when vectors were added among older ones. Empty where the writer removes the file.
        """

    def names(self) -> set[str]:
        """Return the names of all tables, indexes and triggers."""

    def trigger(self, trigger: Trigger) -> list[str]:
        """Return SQL that makes a trigger."""

    def without_trigger(self, name: str, table: str) -> str:
        """Return SQL that drops a trigger, if there is one of this name."""

    def damage(self) -> list[str]:
        """Return the faults that the engine finds in its own files."""

    def of_other_types(self, table: str) -> str | None:
        """Return SQL for the rows with a value of another type than their column; None if the
        engine has no such rows.
        """

    def backup(self, file: Path, *, replace: bool = False) -> int:
        """Copy everything into one file and verify it; return its size in bytes."""

    def local_time(self, nanoseconds: str) -> str:
        """Return SQL for a time in local ISO 8601 without zone, of an SQL expression."""

    def as_text(self, name: str) -> str:
        """Return SQL for the text of a file name, which may be no text, of an SQL expression."""


def marks(values: Sequence[Any]) -> str:
    """Return what stands for these values in IN (…); PostgreSQL has no empty lists."""
    return ",".join("?" * len(values)) or "NULL"


def chunks(values: Sequence[int]) -> Iterable[Sequence[int]]:
    for start in range(0, len(values), LIST_LENGTH):
        yield values[start : start + LIST_LENGTH]
