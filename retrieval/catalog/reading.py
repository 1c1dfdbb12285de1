"""The catalog of a library: opening it, and reading from it with the standard library's sqlite3.

`queries/` asks it for images, files, places and embeddings; `schema.py` says why SQLAlchemy has no
part in that. Every change is a function of `writing.py` or `roots.py`. A `Catalog` may be used from
any number of threads: each statement borrows a connection, and WAL lets all of them read while a
writer writes.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval import exclusions
from retrieval.catalog.conditions import kilometres
from retrieval.catalog.queries.embeddings import Embeddings
from retrieval.catalog.queries.files import Files
from retrieval.catalog.queries.images import Images
from retrieval.catalog.queries.places import Places
from retrieval.catalog.sqlite.connection import (
    SCHEMA_VERSION,
    NoLocks,
    checkpoint,
    connect,
    explained,
)
from retrieval.catalog.sqlite.onlooker import Onlooker, source_of
from retrieval.errors import LibraryNotFound, LibraryReadOnly, LibraryTooNew, because
from retrieval.locate import FILE_NAME
from retrieval.records import (
    Counts,
    ModelRecord,
    Root,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine


MODEL = tuple(field.name for field in fields(ModelRecord))  # columns of the table `models`
T = TypeVar("T")


class Catalog:
    """An open catalog. `Catalog.open` makes one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # absolute
        self.path = folder / FILE_NAME
        self._connections = source_of(self.path, prepare)
        self._engine: Engine | None = None
        self.images = Images(self)
        self.files = Files(self)
        self.places = Places(self, self.files)
        self.embeddings = Embeddings(self)

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> "Catalog":
        """Raises LibraryNotFound, LibraryReadOnly, LibraryTooNew, CatalogDamaged."""
        catalog = cls(Path(os.path.realpath(folder)))
        if not catalog.path.is_file():
            if not create:
                raise LibraryNotFound(f"no library at {folder}; run `retrieve index PATH` first")
            catalog._make()
        try:
            catalog._be_of_this_version()
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        self._connections.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def current_model(self) -> ModelRecord | None:
        """The model that searches use; None as long as nothing was encoded."""
        return next(iter(self._models("WHERE is_current")), None)

    def models(self) -> list[ModelRecord]:
        """All that have embeddings here: the current one, and those that were or will be."""
        return self._models("ORDER BY id")

    def model(self, digest: str) -> ModelRecord | None:
        """The model with these weights, current or not."""
        return next(iter(self._models("WHERE digest = ?", digest)), None)

    def _models(self, which: str, *parameters: str) -> list[ModelRecord]:
        rows = self.rows(f"SELECT {', '.join(MODEL)} FROM models {which}", parameters)
        return [ModelRecord(*row) for row in rows]

    def roots(self) -> list[Root]:
        """Sorted by path."""
        rows = self.rows("SELECT id, path, entire, exclude FROM roots")
        roots = [
            Root(id, self.root_path(path), bool(entire), exclusions.read(exclude))
            for id, path, entire, exclude in rows
        ]
        return sorted(roots, key=lambda root: root.path)

    def root_path(self, stored: bytes) -> Path:
        """The absolute path of a root: those that hold the library are stored relative to it."""
        return Path(os.fsdecode(os.path.normpath(os.path.join(os.fsencode(self.folder), stored))))

    def counts(self) -> Counts:
        """Reads no vectors, so it is quick however many there are."""
        per_root = {root.id: 0 for root in self.roots()}
        per_root.update(self.rows("SELECT root_id, count(*) FROM files GROUP BY root_id"))
        model = self.current_model()
        return Counts(
            files=sum(per_root.values()),
            images=self.images.count(),
            embedded=self.embeddings.count(model.id) if model else 0,
            failures=self.files.failure_count(),
            per_root=per_root,
        )

    def _be_of_this_version(self) -> None:
        [(version,)] = self._first("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise LibraryTooNew(
                f"{self.path} is of version {version}, this program knows {SCHEMA_VERSION}; "
                "update retrieve"
            )
        if version < SCHEMA_VERSION:
            self._upgrade()

    def _first(self, statement: str) -> list[Any]:
        """Of a catalog that is there already, on a medium without locks, there is reading."""
        try:
            return self.rows(statement)
        except NoLocks:
            if not self.path.stat().st_size:  # we have just made it
                self.path.unlink()
                raise
            self._connections = Onlooker(self.path, prepare)
            return self.rows(statement)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Every row of one SELECT, as tuples."""
        return self.read(lambda connection: connection.execute(statement, parameters).fetchall())

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` reads with a connection; it may be called more than once."""
        with explained(self.folder):
            try:
                return self._connections.read(work)
            except FileNotFoundError as error:
                raise LibraryNotFound(f"the library at {self.folder} is gone") from error
            except OSError as error:
                raise because(LibraryReadOnly, f"cannot read {self.path}", error) from error

    def ids(self, statement: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """The one column of every row of a SELECT."""
        rows = self.rows(statement, parameters)
        return np.fromiter((id for (id,) in rows), np.int64, len(rows))

    def number(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.rows(statement, parameters)[0][0])

    def checkpoint(self) -> None:
        """Make the file whole without its WAL, as far as others let us."""
        checkpoint(self.path)

    def rest(self) -> None:
        """Let go of the file if nothing was asked for a while, so that it is whole by itself."""
        self._connections.rest()

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was quicker
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            said = f"cannot make a library at {self.folder}"
            raise because(LibraryReadOnly, said, error) from error

    def _upgrade(self) -> None:
        if isinstance(self._connections, Onlooker):
            raise LibraryReadOnly(
                f"{self.path} is of an older version and cannot be written to here; "
                "open it once where it can"
            )
        from retrieval.catalog import schema

        with explained(self.folder), self.engine().begin() as connection:
            schema.upgrade(connection)

    def engine(self) -> "Engine":
        """For `writing.py`: SQLAlchemy on a connection like the ones that read."""
        if self._engine is None:
            from sqlalchemy import create_engine, event
            from sqlalchemy.pool import NullPool

            path = self.path
            self._engine = create_engine(
                "sqlite://", creator=lambda: connect(path), poolclass=NullPool
            )
            # The connection autocommits: SQLAlchemy's transactions begin here, as writers.
            event.listen(
                self._engine, "begin", lambda opened: opened.exec_driver_sql("BEGIN IMMEDIATE")
            )
        return self._engine


def prepare(connection: sqlite3.Connection) -> None:
    """What our statements call."""
    connection.create_function("kilometres", 4, kilometres, deterministic=True)
