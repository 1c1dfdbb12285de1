"""The catalog of a library: opening it, and reading it with the standard library's sqlite3.

`queries/` reads images, files, places and embeddings; `schema.py` explains why without SQLAlchemy.
Every change is a function in `writing.py` or `roots.py`. A `Catalog` may be used from any number of
threads: each statement borrows a connection, and with a WAL all can read while one writes.
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
from retrieval.catalog.queries.other_files import OtherFiles
from retrieval.catalog.queries.places import Places
from retrieval.catalog.sqlite.connection import (
    BACKUP_ID,
    SCHEMA_VERSION,
    NoLocks,
    checkpoint,
    connect,
    explained,
)
from retrieval.catalog.sqlite.header import check_header, not_a_folder
from retrieval.catalog.sqlite.onlooker import Onlooker, source_of
from retrieval.errors import LibraryNotFound, LibraryReadOnly, LibraryTooNew, because
from retrieval.locate import FILE_NAME, INDEX_FILE
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
    """An open catalog, returned by `Catalog.open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # absolute
        self.path = folder / FILE_NAME
        self._connections = source_of(self.path, prepare)
        self._engine: Engine | None = None
        self.may_have_index = True  # False: index files in the folder are another catalog's
        self.images = Images(self)
        self.files = Files(self)
        self.places = Places(self, self.files)
        self.other_files = OtherFiles(self)
        self.embeddings = Embeddings(self)

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> "Catalog":
        """Open the catalog in this folder, and upgrade it if it is older.

        create: whether to create a missing one. Raises LibraryNotFound, LibraryReadOnly,
        LibraryTooNew, CatalogDamaged.
        """
        catalog = cls(Path(os.path.realpath(folder)))
        check_header(catalog.path)
        if not catalog.path.is_file():
            if not create:
                raise LibraryNotFound(f"no library at {folder}; run `retrieve index PATH` first")
            catalog._make()
        try:
            catalog._check_version()
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
        """Return the model that searches use; None if nothing was encoded yet."""
        return next(iter(self._models("WHERE is_current")), None)

    def models(self) -> list[ModelRecord]:
        """Return all models with embeddings here: the current, previous and coming ones."""
        return self._models("ORDER BY id")

    def model(self, digest: str) -> ModelRecord | None:
        """Return the model with these weights, current or not; None if it is unknown."""
        return next(iter(self._models("WHERE digest = ?", digest)), None)

    def _models(self, which: str, *parameters: str) -> list[ModelRecord]:
        rows = self.rows(f"SELECT {', '.join(MODEL)} FROM models {which}", parameters)
        return [ModelRecord(*row) for row in rows]

    def roots(self) -> list[Root]:
        """Return the roots, sorted by path."""
        rows = self.rows("SELECT id, path, entire, exclude FROM roots")
        roots = [
            Root(id, self.root_path(path), bool(entire), exclusions.read(exclude))
            for id, path, entire, exclude in rows
        ]
        return sorted(roots, key=lambda root: root.path)

    def root_path(self, stored: bytes) -> Path:
        """Return a root's absolute path; it is stored as relative if the library is inside it."""
        return Path(os.fsdecode(os.path.normpath(os.path.join(os.fsencode(self.folder), stored))))

    def counts(self) -> Counts:
        """Count files, images, vectors and failures. No vectors are read, so it is fast."""
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

    def _restore(self) -> None:
        """Make a backup the catalog of its folder. Index files there, of other vectors, are removed
        or, where nothing can be written, not used.
        """
        if isinstance(self._connections, Onlooker):
            self.may_have_index = False
            return
        for index in self.folder.glob(INDEX_FILE.format("*")):
            index.unlink(missing_ok=True)
        self.read(lambda connection: connection.execute("PRAGMA application_id = 0"))

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

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return every row of one SELECT, as tuples."""
        return self.read(lambda connection: connection.execute(statement, parameters).fetchall())

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return the result of `work`, called with a connection, perhaps more than once."""
        with explained(self.folder):
            try:
                return self._connections.read(work)
            except FileNotFoundError as error:
                raise LibraryNotFound(f"the library at {self.folder} is gone") from error
            except OSError as error:
                raise because(LibraryReadOnly, f"cannot read {self.path}", error) from error

    def ids(self, statement: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """Return the one column of every row of a SELECT."""
        rows = self.rows(statement, parameters)
        return np.fromiter((id for (id,) in rows), np.int64, len(rows))

    def number(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.rows(statement, parameters)[0][0])

    def checkpoint(self) -> None:
        """Make the file complete without its WAL, as far as other readers permit."""
        checkpoint(self.path)

    def rest(self) -> None:
        """Close the file if it was not read for a while, so that it is complete without its WAL."""
        self._connections.rest()

    def _make(self) -> None:
        if self.folder.is_file():
            raise not_a_folder(self.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was quicker
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            said = f"cannot create a library at {self.folder}"
            raise because(LibraryReadOnly, said, error) from error

    def _upgrade(self) -> None:
        if isinstance(self._connections, Onlooker):
            raise LibraryReadOnly(
                f"{self.path} has an older version and cannot be upgraded here; "
                "run a command once where it can be written to"
            )
        from retrieval.catalog import schema

        with explained(self.folder), self.engine().begin() as connection:
            schema.upgrade(connection)

    def engine(self) -> "Engine":
        """Return an SQLAlchemy engine for writing, on connections like those for reading."""
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
    """Add the functions that our statements call."""
    connection.create_function("kilometres", 4, kilometres, deterministic=True)
