"""The `Database` of a library in a folder: one SQLite file."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retrieval.catalog.conditions import kilometres
from retrieval.catalog.database import SCHEMA_VERSION, Trigger
from retrieval.catalog.sqlite.connection import (
    BACKUP_ID,
    NoLocks,
    checkpoint,
    connect,
    explained,
    shrink,
)
from retrieval.catalog.sqlite.header import check_header, missing, not_a_folder
from retrieval.catalog.sqlite.onlooker import Onlooker, source_of
from retrieval.errors import (
    LibraryNotFound,
    LibraryReadOnly,
    LibraryTooNew,
    RetrieveError,
    because,
)
from retrieval.locate import FILE_NAME, INDEX_FILE
from retrieval.paths import database_files, size_of
from retrieval.records import Underway

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from retrieval.catalog.lock import Tell

# SQLite stores any value in any column, so on a damaged page one can have any type.
TYPES = {
    "INTEGER": "'integer'",
    "BOOLEAN": "'integer'",
    "FLOAT": "'real', 'integer'",
    "VARCHAR": "'text'",
    "BLOB": "'blob'",
}

T = TypeVar("T")


class SQLiteDatabase:
    """A `Database` in a file, read with the standard library's sqlite3.

    Each statement borrows a connection, and with a WAL all threads can read while one writes.
    """

    is_shared = False

    def __init__(self, folder: Path) -> None:
        self.place = self.local_folder = Path(os.path.realpath(folder))
        self.base = self.place
        self.where = os.fspath(self.place)
        self.path = self.place / FILE_NAME
        self.may_have_index = True
        self._connections = source_of(self.path, prepare)
        self._engine: Engine | None = None

    def exists(self) -> bool:
        return os.path.isfile(self.path)

    def missing(self) -> RetrieveError:
        return missing(self.place)

    def open(self, create: bool) -> None:
        check_header(self.path)
        if not self.exists():
            if not create:
                raise LibraryNotFound(
                    f"no library at {self.where}; run `retrieve index PATH` first"
                )
            self._make()
        self._connections = source_of(self.path, prepare)  # it may have become read-only
        try:
            self._check_version()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._connections.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    # -- reading and writing ---------------------------------------------------------------------

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self.read(lambda connection: connection.execute(statement, parameters).fetchall())

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `work`, called with a connection, perhaps more than once."""
        with explained(self.place):
            try:
                return self._connections.read(work)
            except FileNotFoundError as error:
                raise LibraryNotFound(f"the library at {self.where} is gone") from error
            except OSError as error:
                raise because(LibraryReadOnly, f"cannot read {self.path}", error) from error

    @contextmanager
    def transaction(self) -> Iterator["Connection"]:
        with explained(self.place), self.engine().begin() as connection:
            yield connection

    def engine(self) -> "Engine":
        """Return an SQLAlchemy engine for writing, on connections like those for reading."""
        if self._engine is None:
            from sqlalchemy import create_engine, event
            from sqlalchemy.pool import NullPool

            path = self.path
            engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
            # The connection autocommits: SQLAlchemy's transactions begin here, as writers.
            event.listen(engine, "begin", lambda opened: opened.exec_driver_sql("BEGIN IMMEDIATE"))
            self._engine = engine  # complete, as another thread may use it at once
        return self._engine

    def running(self) -> AbstractContextManager["Tell"]:
        from retrieval.catalog.lock import write_lock  # filelock takes 40 ms to import

        return write_lock(self.place)

    def renewing(self) -> AbstractContextManager[object]:
        return nullcontext()  # the run holds the folder

    exclusive = running  # SQLite has one writer at a time

    def underway(self) -> Underway | None:
        from retrieval.catalog.lock import underway

        return underway(self.place)

    def local_time(self, nanoseconds: str) -> str:
        seconds = f"{nanoseconds} / 1000000000"
        return f"strftime('%Y-%m-%dT%H:%M:%S', {seconds}, 'unixepoch', 'localtime')"

    def as_text(self, name: str) -> str:
        return f"CAST(CAST({name} AS BLOB) AS TEXT)"  # SQLite accepts any bytes as text

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        with explained(self.place), closing(connect(self.path)) as connection:
            connection.execute("PRAGMA foreign_keys = OFF")
            return connection.execute(statement, parameters).rowcount

    def changes(self) -> int | None:
        return None  # SQLite's own number is one of a connection

    def stamp(self, digest: str) -> str:
        return ""

    def names(self) -> set[str]:
        return {name for (name,) in self.rows("SELECT name FROM sqlite_schema")}

    def trigger(self, trigger: Trigger) -> list[str]:
        changed = " OR ".join(f"OLD.{each} IS NOT NEW.{each}" for each in trigger.columns)
        event = f"{trigger.event} OF {', '.join(trigger.columns)}" if changed else trigger.event
        when = f"WHEN {changed}" if changed else ""
        return [
            f"CREATE TRIGGER {trigger.name} AFTER {event} ON {trigger.table} FOR EACH ROW {when} "
            f"BEGIN {'; '.join(trigger.statements)}; END"
        ]

    def without_trigger(self, name: str, table: str) -> str:
        return f"DROP TRIGGER IF EXISTS {name}"

    def damage(self) -> list[str]:
        found = [said for (said,) in self.rows("PRAGMA integrity_check(100)")]
        return [] if found == ["ok"] else found

    def of_other_types(self, table: str) -> str | None:
        columns = self.rows(f"PRAGMA table_info({table})")
        kinds = {
            name: TYPES[type] + ("" if is_needed else ", 'null'")
            for _, name, type, is_needed, _, _ in columns
            if type in TYPES
        }
        return " OR ".join(f"typeof({name}) NOT IN ({kind})" for name, kind in kinds.items())

    # -- the file --------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Make the file complete without its WAL, as far as other readers permit."""
        checkpoint(self.path)

    def rest(self) -> None:
        """Close the file if it was not read for a while, so that it is complete without its WAL."""
        self._connections.rest()

    def shrink(self) -> None:
        shrink(self.path)

    def size(self) -> int:
        return sum(map(size_of, database_files(self.path)))

    def backup(self, file: Path, *, replace: bool = False) -> int:
        from retrieval.catalog.sqlite.backup import backup

        return backup(self.path, self.read, file, replace=replace)

    def _make(self) -> None:
        if self.place.is_file():
            raise not_a_folder(self.place)
        try:
            self.place.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was quicker
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            said = f"cannot create a library at {self.where}"
            raise because(LibraryReadOnly, said, error) from error

    def _check_version(self) -> None:
        pragmas = "user_version, application_id FROM pragma_user_version, pragma_application_id"
        [(version, application)] = self._first(f"SELECT {pragmas}")
        if version > SCHEMA_VERSION:
            raise LibraryTooNew(
                f"{self.path} has version {version}, but this program supports at most "
                f"{SCHEMA_VERSION}; update retrieve"
            )
        if application == BACKUP_ID:
            self._restore()
        if version < SCHEMA_VERSION:
            self._upgrade()

    def _first(self, statement: str) -> list[Any]:
        """Run the first statement; without locks, an existing catalog becomes read-only."""
        try:
            return self.rows(statement)
        except NoLocks:
            if not self.path.stat().st_size:  # we have just created it
                self.path.unlink()
                raise
            self._connections = Onlooker(self.path, prepare)
            return self.rows(statement)

    def _restore(self) -> None:
        """Make a backup the catalog of its folder. Index files there, of other vectors, are removed
        or, where nothing can be written, not used.
        """
        if isinstance(self._connections, Onlooker):
            self.may_have_index = False
            return
        for index in self.place.glob(INDEX_FILE.format("*")):
            index.unlink(missing_ok=True)
        self.read(lambda connection: connection.execute("PRAGMA application_id = 0"))

    def _upgrade(self) -> None:
        if isinstance(self._connections, Onlooker):
            raise LibraryReadOnly(
                f"{self.path} has an older version and cannot be upgraded here; "
                "run a command once where it can be written to"
            )
        from retrieval.catalog import migrations

        with self.transaction() as connection:
            version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
            migrations.upgrade(connection, version)
            connection.exec_driver_sql(f"PRAGMA user_version = {SCHEMA_VERSION}")


def prepare(connection: sqlite3.Connection) -> None:
    """Add the functions that our statements call."""
    connection.create_function("kilometres", 4, kilometres, deterministic=True)
