"""The `Database` of a library at a postgresql:// URL.

Statements are read through psycopg, without SQLAlchemy, as SQLite's are.
"""

import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retrieval.catalog.database import SCHEMA_VERSION, Trigger
from retrieval.catalog.postgresql import session, tables
from retrieval.catalog.postgresql.connection import Connection, connect, explained, translated
from retrieval.catalog.postgresql.pool import SessionPool
from retrieval.errors import (
    InvalidValue,
    LibraryNotFound,
    LibraryReadOnly,
    LibraryTooNew,
    RetrieveError,
    because,
)
from retrieval.locate import DatabaseURL, local_folder
from retrieval.records import Underway

if TYPE_CHECKING:
    from sqlalchemy import Connection as Transaction
    from sqlalchemy import Engine

MAX_WRITERS = 4  # connections that transactions use at a time
ZONE = re.compile(r"[A-Za-z]+(?:/[A-Za-z0-9_+-]+)+")

T = TypeVar("T")


class PostgreSQLDatabase:
    """A `Database` on a server, which any number of machines may use at once."""

    base = None  # the pictures may be anywhere, so roots are absolute
    may_have_index = True
    is_shared = True

    def __init__(self, url: DatabaseURL) -> None:
        self.place = url
        self.where = str(url)
        self.local_folder = local_folder(url)
        self._connections = SessionPool(lambda: connect(url))
        self._engine: Engine | None = None
        self._engine_process = 0
        self._is_there = False

    def exists(self) -> bool:
        if not self._is_there:
            self._is_there = self._version() is not None
        return self._is_there

    def missing(self) -> RetrieveError:
        return LibraryNotFound(
            f"no library yet at {self.where}; run `retrieve index FOLDER` to make one"
        )

    def open(self, create: bool) -> None:
        self._connections.open()
        try:
            version = self._version()
            if version is None and not create:
                raise self.missing()
            if (version or 0) > SCHEMA_VERSION:
                raise LibraryTooNew(
                    f"{self.where} has version {version}, but this program supports at most "
                    f"{SCHEMA_VERSION}; update retrieve"
                )
            if version != SCHEMA_VERSION:
                self._upgrade(is_new=version is None)
            self._make_folder()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._is_there = False
        self._connections.close()
        if self._engine is not None:
            self._engine.dispose(close=self._engine_process == os.getpid())
            self._engine = None

    # -- reading and writing ---------------------------------------------------------------------

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        def fetched(connection: Connection) -> list[Any]:
            with connection.cursor(binary=True) as cursor:
                return cursor.execute(translated(statement), tuple(parameters)).fetchall()

        with explained(self.place):
            return self._connections.read(fetched)

    @contextmanager
    def transaction(self) -> Iterator["Transaction"]:
        with explained(self.place), self._writer().begin() as connection:
            connection.exec_driver_sql(tables.BEGIN_WRITING)
            yield connection

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        with self.transaction() as connection:
            given = tuple(parameters)
            return connection.exec_driver_sql(translated(statement).decode(), given).rowcount

    def _writer(self) -> "Engine":
        """Return an SQLAlchemy engine on connections of its own."""
        if self._engine is not None and self._engine_process != os.getpid():
            self._engine.dispose(close=False)  # the connections are those of another process
            self._engine = None
        if self._engine is None:
            from sqlalchemy import create_engine

            url = self.place
            self._engine = create_engine(
                "postgresql+psycopg://",
                creator=lambda: connect(url, autocommit=False),
                pool_size=1,
                max_overflow=MAX_WRITERS - 1,
                pool_pre_ping=True,
            )
            self._engine_process = os.getpid()
        return self._engine

    # -- who holds the library -------------------------------------------------------------------

    def running(self) -> AbstractContextManager[session.Tell]:
        return self._held(is_shared=True)

    def renewing(self) -> AbstractContextManager[object]:
        from retrieval.catalog.lock import write_lock

        return write_lock(self.local_folder, is_brief=True)

    def exclusive(self) -> AbstractContextManager[session.Tell]:
        return self._held(is_shared=False)

    @contextmanager
    def _held(self, is_shared: bool) -> Iterator[session.Tell]:
        with explained(self.place), session.held(self.place, is_shared) as tell:
            yield tell

    def underway(self) -> Underway | None:
        with explained(self.place):
            return self._connections.read(session.underway)

    # -- what SQL the engine has, and how much there is ------------------------------------------

    def changes(self) -> int | None:
        return int(self.rows(tables.CHANGES)[0][0])

    def stamp(self, digest: str) -> str:
        return "".join(f"-{stamp:x}" for (stamp,) in self.rows(tables.STAMP, (digest,)))

    def local_time(self, nanoseconds: str) -> str:
        seconds = f"to_timestamp({nanoseconds} / 1000000000)"
        return f"""to_char({seconds} AT TIME ZONE {_zone()}, 'YYYY-MM-DD"T"HH24:MI:SS')"""

    def as_text(self, name: str) -> str:
        return rf"replace(encode({name}, 'escape'), '\\', '\')"  # it doubles backslashes

    def names(self) -> set[str]:
        return {name for (name,) in self.rows(tables.NAMES)}

    def trigger(self, trigger: Trigger) -> list[str]:
        changed = " OR ".join(f"OLD.{each} IS DISTINCT FROM NEW.{each}" for each in trigger.columns)
        when = f"WHEN ({changed})" if changed else ""
        return [
            f"CREATE OR REPLACE FUNCTION {trigger.name}() RETURNS trigger LANGUAGE plpgsql AS $$ "
            f"BEGIN {'; '.join(trigger.statements)}; RETURN NULL; END $$",
            f"CREATE TRIGGER {trigger.name} AFTER {trigger.event} ON {trigger.table} "
            f"FOR EACH ROW {when} EXECUTE FUNCTION {trigger.name}()",
        ]

    def without_trigger(self, name: str, table: str) -> str:
        return f"DROP TRIGGER IF EXISTS {name} ON {table}"

    def damage(self) -> list[str]:
        return []  # the server looks after its files

    def of_other_types(self, table: str) -> str | None:
        return None  # the server refuses values of other types

    def size(self) -> int:
        return int(self.rows(tables.SIZE)[0][0])

    def checkpoint(self) -> None:
        """Do nothing: the server does so by itself."""

    def shrink(self) -> None:
        """Do nothing: the server uses the space again."""

    def rest(self) -> None:
        self._connections.rest()

    def backup(self, file: Path, *, replace: bool = False) -> int:
        raise InvalidValue(
            f"the library {self.where} is in a database; back it up with `pg_dump --format=custom "
            f"--file {shlex.quote(str(file))} {shlex.quote(self.where)}`"
        )

    def _version(self) -> int | None:
        """Return the version of the tables; None if there are none."""
        [(is_there,)] = self.rows(tables.IS_THERE)
        return int(self.rows(tables.VERSION)[0][0]) if is_there else None

    def _upgrade(self, *, is_new: bool) -> None:
        if is_new:
            with explained(self.place), self._writer().begin() as connection:
                tables.upgrade(connection, self.where)
        else:  # not under an index run of the older version
            with self.exclusive(), explained(self.place), self._writer().begin() as connection:
                tables.upgrade(connection, self.where)
        self._is_there = True

    def _make_folder(self) -> None:
        try:
            self.local_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            said = f"cannot create {self.local_folder} for this machine's index"
            raise because(LibraryReadOnly, said, error) from error


def _zone() -> str:
    """Return this machine's time zone as SQL: by name, so that each time has its own offset."""
    linked = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    name = os.environ.get("TZ", linked).removeprefix(":")
    if ZONE.fullmatch(name):
        return f"'{name}'"
    return f"INTERVAL '{time.strftime('%z') or '+0000'}' HOUR TO MINUTE"
