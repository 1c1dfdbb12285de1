"""Faults of a catalog, down to single rows, and their repairs."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from retrieval.catalog.database import chunks, marks
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.recover import recover
from retrieval.locate import FILE_NAME, Place
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
    mend: Callable[[Place], str | None]  # of the library -> what was done; None: it failed
    harmless: str | None = None


def of_catalog(catalog: Catalog) -> Iterator[Fault]:
    if found := catalog.database.damage():
        said = found[0].splitlines()
        yield damaged(said[-1] + (" …" if len(found) + len(said) > 2 else ""))
        return
    from retrieval.catalog.schema import Base

    there = catalog.database.names()
    for table in Base.metadata.sorted_tables:
        for name in (table.name, *(index.name for index in table.indexes)):
            if name not in there:
                yield Fault(f"the catalog lacks {name}", _make_tables)


def damaged(said: str) -> Fault:
    return Fault(f"{FILE_NAME} is damaged: {said}", _recover)


def _recover(place: Place) -> str | None:
    assert isinstance(place, Path)  # a server recovers by itself
    return recover(place)


def _make_tables(place: Place) -> str:
    from retrieval.catalog.schema import Base

    with closing(Catalog.open(place)) as catalog, catalog.transaction() as connection:
        Base.metadata.create_all(connection)
        for table in Base.metadata.sorted_tables:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
    return "created"


WITHOUT_IMAGE = "NOT EXISTS (SELECT 1 FROM images WHERE images.id = image_id)"
# Invalid rows: the table, the condition, what the user is told.
INVALID_ROWS = (
    (
        "images",
        "length(digest) != 16 OR width < 1 OR height < 1",
        "invalid digest or size",
    ),
    ("files", "root_id NOT IN (SELECT id FROM roots)", "unknown folder"),
    (
        "files",
        f"image_id IS NOT NULL AND {WITHOUT_IMAGE}",
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
    ("moments", WITHOUT_IMAGE, "missing image"),
    ("texts", WITHOUT_IMAGE, "missing image"),
    ("embeddings", WITHOUT_IMAGE, "missing image"),
    ("embeddings", "model_id NOT IN (SELECT id FROM models)", "missing model"),
    (
        "embeddings",
        "moment != 0 AND NOT EXISTS (SELECT 1 FROM moments WHERE moments.image_id = "
        "embeddings.image_id AND moments.moment = embeddings.moment)",
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
    others = ((table, catalog.database.of_other_types(table)) for table in tables)
    strange = [(table, found, "wrong type of value") for table, found in others if found]
    for table, condition, what in (*strange, *INVALID_ROWS):
        [(count,)] = catalog.rows(f"SELECT count(*) FROM {table} WHERE {condition}")
        if count:
            drop = f"DELETE FROM {table} WHERE {condition}"
            yield Fault(
                f"{counted(count, 'row')} in {table}: {what}", partial(_run, statement=drop)
            )


def _run(place: Place, statement: str, parameters: Sequence[int] = ()) -> str:
    """Run a change that may leave dangling references; the next check finds those."""
    with closing(Catalog.open(place)) as catalog:
        changed = catalog.database.execute(statement, parameters)
    return (
        f"{counted(changed, 'row')} removed; the next `retrieve index` reads these pictures again"
    )


def of_models(catalog: Catalog) -> Iterator[Fault]:
    [(current, models)] = catalog.rows(
        "SELECT count(*) FILTER (WHERE is_current), count(*) FROM models"
    )
    if models and current != 1:
        yield Fault(f"{int(current)} of {models} models are current, instead of one", _choose_model)
    for model in catalog.models():
        wrong = list(_of_wrong_length(catalog, model))
        if wrong:
            yield Fault(
                f"{counted(len(wrong), 'vector')} of {model.name} without unit length",
                partial(drop_vectors, model_id=model.id, image_ids=wrong),
            )


def _choose_model(place: Place) -> str:
    """Make the model with the most vectors current."""
    most = (
        "SELECT models.id FROM models LEFT JOIN embeddings ON model_id = models.id "
        "GROUP BY models.id ORDER BY count(image_id) DESC, models.id LIMIT 1"
    )
    with closing(Catalog.open(place)) as catalog:
        catalog.database.execute(f"UPDATE models SET is_current = (id = ({most}))")
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


def drop_vectors(place: Place, model_id: int, image_ids: list[int]) -> str:
    """Drop a model's vectors of these images. Return what was done, for the user."""
    for chunk in chunks(image_ids):
        drop = f"DELETE FROM embeddings WHERE model_id = ? AND image_id IN ({marks(chunk)})"
        _run(place, drop, (model_id, *chunk))
    return "removed; the next `retrieve index` encodes these pictures again"
