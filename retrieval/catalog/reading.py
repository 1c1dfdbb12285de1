"""The catalog of a library: opening it, and reading it.

`queries/` reads images, files, places and embeddings; `schema.py` explains why without SQLAlchemy.
Every change is a function in `writing.py` or `roots.py`. A `Catalog` may be used from any number of
threads.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from retrieval import exclusions
from retrieval.address import RemotePath, is_address
from retrieval.catalog.database import Database
from retrieval.catalog.queries.containers import Containers
from retrieval.catalog.queries.embeddings import Embeddings
from retrieval.catalog.queries.files import Files
from retrieval.catalog.queries.holdings import Holdings
from retrieval.catalog.queries.images import Images
from retrieval.catalog.queries.other_files import OtherFiles
from retrieval.catalog.queries.places import Places
from retrieval.catalog.sqlite.database import SQLiteDatabase
from retrieval.locate import Place
from retrieval.records import Counts, ModelRecord, Root
from retrieval.sources import options

if TYPE_CHECKING:
    from sqlalchemy import Connection


MODEL = tuple(field.name for field in fields(ModelRecord))  # columns of the table `models`


def database_at(place: Place) -> Database:
    """Return the database of the library at this place, not opened yet."""
    if isinstance(place, Path):
        return SQLiteDatabase(place)
    from retrieval.catalog.postgresql.database import PostgreSQLDatabase  # not by local commands

    return PostgreSQLDatabase(place)


class Catalog:
    """An open catalog, returned by `Catalog.open`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.images = Images(self)
        self.files = Files(self)
        self.places = Places(self, self.files)
        self.other_files = OtherFiles(self)
        self.containers = Containers(self, self.places)
        self.embeddings = Embeddings(self)
        self.holdings = Holdings(self)

    @classmethod
    def open(cls, place: Place, *, create: bool = False) -> "Catalog":
        """Open the catalog at this place, and upgrade it if it is older.

        create: whether to create a missing one. Raises LibraryNotFound, LibraryReadOnly,
        LibraryTooNew, CatalogDamaged.
        """
        database = database_at(place)
        database.open(create)
        return cls(database)

    def close(self) -> None:
        self.database.close()

    @property
    def place(self) -> Place:
        """By which `open` finds this catalog again."""
        return self.database.place

    @property
    def where(self) -> str:
        """The place as messages name it."""
        return self.database.where

    @property
    def local_folder(self) -> Path:
        """The folder in which this machine keeps what is made from the rows: index, thumbnails."""
        return self.database.local_folder

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
        rows = self.rows("SELECT id, path, entire, exclude, options FROM roots")
        return sorted((self.root_of(*row) for row in rows), key=lambda root: root.path)

    def root_of(
        self, id: int, stored: bytes, entire: int, exclude: str | None, how: str | None
    ) -> Root:
        """Return a root from the columns of its row."""
        path = self.root_path(stored)
        reached = options.of_root(os.fspath(path), options.read(how)) if b"://" in stored else ()
        return Root(id, path, bool(entire), exclusions.read(exclude), reached)

    def root_path(self, stored: bytes) -> Path:
        """Return a root's absolute path; it is stored as relative if the library is inside it."""
        if is_address(os.fsdecode(stored)):
            return RemotePath(os.fsdecode(stored))
        base = os.fsencode(self.database.base or "")
        return Path(os.fsdecode(os.path.normpath(os.path.join(base, stored))))

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

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return every row of one SELECT, as tuples."""
        return self.database.rows(statement, parameters)

    def ids(self, statement: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """Return the one column of every row of a SELECT."""
        rows = self.rows(statement, parameters)
        return np.fromiter((id for (id,) in rows), np.int64, len(rows))

    def number(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.rows(statement, parameters)[0][0])

    def transaction(self) -> AbstractContextManager["Connection"]:
        """Begin a transaction that writes, committed at the end unless an error is raised."""
        return self.database.transaction()
