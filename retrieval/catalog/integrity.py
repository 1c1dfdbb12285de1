"""Faults of a catalog, down to single rows, and their repairs."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from retrieval.catalog.database import chunks, marks
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import connect
from retrieval.catalog.sqlite.recover import recover
from retrieval.locate import FILE_NAME
from retrieval.records import ModelRecord
from retrieval.wording import counted

ForeignTables = sqlite3.OperationalError  # raised if the tables are another program's
NORM_TOLERANCE = 5e-3  # of a float16 vector's norm; rounding changes it by 2e-4
PAGE = 10_000  # vectors read at a time


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of a library as users see it, repaired or not."""

    what: str  # one line
    mended: str | None = None  # how it was repaired; None: it was not
    harmless: str | None = None  # why nothing needs to be done


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the function that repairs it."""

    what: str
    mend: Callable[[Path], str | None]  # folder -> what was done; None: it failed
    harmless: str | None = None


def of_catalog(catalog: Catalog) -> Iterator[Fault]:
    found = [said for (said,) in catalog.rows("PRAGMA integrity_check(100)")]
    if found != ["ok"]:
        said = found[0].splitlines()
        yield damaged(said[-1] + (" …" if len(found) + len(said) > 2 else ""))
        return
    from retrieval.catalog.schema import Base

    there = {name for (name,) in catalog.rows("SELECT name FROM sqlite_schema")}
    for table in Base.metadata.sorted_tables:
        for name in (table.name, *(index.name for index in table.indexes)):
            if name not in there:
                yield Fault(f"{FILE_NAME} lacks {name}", _make_tables)


def damaged(said: str) -> Fault:
    return Fault(f"{FILE_NAME} is damaged: {said}", recover)


def _make_tables(folder: Path) -> str:
    from retrieval.catalog.schema import Base

    with closing(Catalog.open(folder)) as catalog, catalog.transaction() as connection:
        Base.metadata.create_all(connection)
        for table in Base.metadata.sorted_tables:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
    return "created"


# SQLite stores any value in any column, so on a damaged page one can have any type.
TYPES = {
    "INTEGER": "'integer'",
    "BOOLEAN": "'integer'",
    "FLOAT": "'real', 'integer'",
    "VARCHAR": "'text'",
    "BLOB": "'blob'",
}

# Invalid rows: the table, the condition, what the user is told.
INVALID_ROWS = (
    (
        "images",
        "typeof(digest) != 'blob' OR length(digest) != 16 OR width < 1 OR height < 1",
        "invalid digest or size",
    ),
    ("files", "root_id NOT IN (SELECT id FROM roots)", "unknown folder"),
    (
        "files",
        "image_id IS NOT NULL AND image_id NOT IN (SELECT id FROM images)",
        "missing image",
    ),
    (
        "files",
        "(image_id IS NULL) = (failure IS NULL) OR (failure IS NULL) != (failure_code IS NULL)",
        "neither an image nor a failure, or both",
    ),
    ("companions", "root_id NOT IN (SELECT id FROM roots)", "unknown folder"),
    ("left_out", "root_id NOT IN (SELECT id FROM roots)", "unknown folder"),
    ("containers", "root_id NOT IN (SELECT id FROM roots)", "unknown folder"),
    ("moments", "image_id NOT IN (SELECT id FROM images)", "missing image"),
    ("texts", "image_id NOT IN (SELECT id FROM images)", "missing image"),
    ("embeddings", "image_id NOT IN (SELECT id FROM images)", "missing image"),
    ("embeddings", "model_id NOT IN (SELECT id FROM models)", "missing model"),
    (
        "embeddings",
        "moment != 0 AND (image_id, moment) NOT IN (SELECT image_id, moment FROM moments)",
        "missing moment",
    ),
    (
        "embeddings",
        "length(vector) != 2 * (SELECT dim FROM models WHERE models.id = model_id)",
        "wrong length for the model",
    ),
)


def of_rows(catalog: Catalog) -> Iterator[Fault]:
    tables = dict.fromkeys(("models", "roots", *(table for table, _, _ in INVALID_ROWS)))
    strange = [(table, _of_other_types(catalog, table), "wrong type of value") for table in tables]
    for table, condition, what in (*strange, *INVALID_ROWS):
        [(count,)] = catalog.rows(f"SELECT count(*) FROM {table} WHERE {condition}")
        if count:
            drop = f"DELETE FROM {table} WHERE {condition}"
            yield Fault(
                f"{counted(count, 'row')} in {table}: {what}", partial(_run, statement=drop)
            )


def _of_other_types(catalog: Catalog, table: str) -> str:
    """Return an SQL condition for rows with a value of another type than their column."""
    columns = catalog.rows(f"PRAGMA table_info({table})")
    kinds = {
        name: TYPES[type] + ("" if is_needed else ", 'null'")
        for _, name, type, is_needed, _, _ in columns
        if type in TYPES
    }
    return " OR ".join(f"typeof({name}) NOT IN ({kind})" for name, kind in kinds.items())


def _run(folder: Path, statement: str, parameters: tuple[int, ...] = ()) -> str:
    """Run a change that may leave dangling references; the next check finds those."""
    with closing(connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        changed = connection.execute(statement, parameters).rowcount
    return (
        f"{counted(changed, 'row')} removed; the next `retrieve index` reads these pictures again"
    )


def of_models(catalog: Catalog) -> Iterator[Fault]:
    [(current, models)] = catalog.rows("SELECT coalesce(sum(is_current), 0), count(*) FROM models")
    if models and current != 1:
        yield Fault(f"{int(current)} of {models} models are current, instead of one", _choose_model)
    for model in catalog.models():
        wrong = list(_of_wrong_length(catalog, model))
        if wrong:
            yield Fault(
                f"{counted(len(wrong), 'vector')} of {model.name} without unit length",
                partial(drop_vectors, model_id=model.id, image_ids=wrong),
            )


def _choose_model(folder: Path) -> str:
    """Make the model with the most vectors current."""
    most = (
        "SELECT models.id FROM models LEFT JOIN embeddings ON model_id = models.id "
        "GROUP BY models.id ORDER BY count(image_id) DESC, models.id LIMIT 1"
    )
    with closing(connect(folder / FILE_NAME)) as connection:
        connection.execute(f"UPDATE models SET is_current = (id = ({most}))")
    return "the model with the most vectors is now current"


def _of_wrong_length(catalog: Catalog, model: ModelRecord) -> Iterator[int]:
    """Yield the images whose vector is not finite, or not of unit norm."""
    page = (
        "SELECT id, image_id, vector FROM embeddings WHERE model_id = ? AND id > ? "
        "AND length(vector) = ? ORDER BY id LIMIT ?"
    )
    after = -1
    while rows := catalog.rows(page, (model.id, after, 2 * model.dim, PAGE)):
        stored = np.frombuffer(b"".join(vector for _, _, vector in rows), "<f2")
        vectors = stored.astype(np.float32).reshape(len(rows), -1)
        is_unit = np.abs(np.linalg.norm(vectors, axis=1) - 1) < NORM_TOLERANCE  # False for NaN
        yield from (image for (_, image, _), good in zip(rows, is_unit, strict=True) if not good)
        after = rows[-1][0]


def drop_vectors(folder: Path, model_id: int, image_ids: list[int]) -> str:
    """Drop a model's vectors of these images. Return what was done, for the user."""
    for chunk in chunks(image_ids):
        drop = f"DELETE FROM embeddings WHERE model_id = ? AND image_id IN ({marks(chunk)})"
        _run(folder, drop, (model_id, *chunk))
    return "removed; the next `retrieve index` encodes these pictures again"
