"""What is wrong with a library, and how it is mended: `retrieve check`.

    catalog    SQLite's own check of the file; the tables that ought to be there
    rows       each against those it refers to
    vectors    length, unit norm
    index      every byte of the file, and every vector in it against the catalog's
    leftovers  of runs that were killed

What makes no sense is dropped: the next run looks at those pictures again.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from retrieval import index_file
from retrieval.catalog import Catalog, chunks, marks
from retrieval.database import FILE_NAME, connect, explained
from retrieval.errors import CatalogDamaged, LibraryBusy, LibraryReadOnly
from retrieval.lock import write_lock
from retrieval.records import ModelRecord
from retrieval.salvage import salvage

ROUNDS = 4  # of mending: what is dropped in one may leave something to drop in the next
NORM_TOLERANCE = 5e-3  # of a vector in float16; rounding makes it 2e-4
PAGE = 10_000  # vectors at a time


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is, or was, wrong with a library."""

    what: str  # one line
    mended: str | None = None  # how; None: it is still so


@dataclass(frozen=True, slots=True)
class Fault:
    """A problem, and what can be done about it: a function that does it, and says what it did."""

    what: str
    mend: Callable[[Path], str | None]  # takes the library's folder; None: it could not be done


def check(folder: Path, repair: bool) -> list[Problem]:
    """All that is wrong. With `repair`, what can be mended is.

    Raises LibraryTooNew; with `repair` LibraryBusy and LibraryReadOnly as well.
    """
    if not repair:
        return [Problem(fault.what) for fault in _faults(folder, _is_ours(folder))]
    done: dict[str, str | None] = {}
    with write_lock(folder), explained(folder):
        for _ in range(ROUNDS):
            found = list(_faults(folder, True))
            done.update({fault.what: fault.mend(folder) for fault in found})
            if not any(done[fault.what] for fault in found):
                break
        left = {fault.what for fault in _faults(folder, True)}
    return [Problem(what, None if what in left else how) for what, how in done.items()]


def _is_ours(folder: Path) -> bool:
    """Whether nobody writes now, so that files that are half written are left over."""
    try:
        with write_lock(folder):
            return True
    except (LibraryBusy, LibraryReadOnly):
        return False


def _faults(folder: Path, with_leftovers: bool) -> Iterator[Fault]:
    """Where the catalog itself is damaged, nothing else can be said."""
    try:
        with closing(Catalog.open(folder)) as catalog:
            catalog_faults = list(_of_catalog(catalog))
            yield from catalog_faults
            if not catalog_faults:
                yield from _of_rows(catalog)
                yield from _of_models(catalog)
                if model := catalog.current_model():
                    yield from _of_index(catalog, model)
                if with_leftovers:
                    yield from _of_leftovers(catalog)
    except CatalogDamaged as error:
        yield _damaged(str(error.__cause__))
    except sqlite3.OperationalError as error:  # another program's tables
        yield Fault(f"{FILE_NAME} is no catalog of this program: {error}", lambda folder: None)


# -- the catalog ---------------------------------------------------------------------------------


def _of_catalog(catalog: Catalog) -> Iterator[Fault]:
    found = [said for (said,) in catalog.rows("PRAGMA integrity_check(100)")]
    if found != ["ok"]:
        said = found[0].splitlines()
        yield _damaged(said[-1] + (" …" if len(found) + len(said) > 2 else ""))
        return
    from retrieval.schema import Base

    there = {name for (name,) in catalog.rows("SELECT name FROM sqlite_schema")}
    for table in Base.metadata.sorted_tables:
        for name in (table.name, *(index.name for index in table.indexes)):
            if name not in there:
                yield Fault(f"{FILE_NAME} lacks {name}", _make_tables)


def _damaged(said: str) -> Fault:
    return Fault(f"{FILE_NAME} is damaged: {said}", salvage)


def _make_tables(folder: Path) -> str:
    from retrieval.schema import Base

    with closing(Catalog.open(folder)) as catalog, catalog.engine().begin() as connection:
        Base.metadata.create_all(connection)
        for table in Base.metadata.sorted_tables:
            for index in table.indexes:
                index.create(connection, checkfirst=True)
    return "it was made"


# -- rows ----------------------------------------------------------------------------------------

# SQLite keeps any value in any column: what a damaged page makes of one need not be of its type.
TYPES = {
    "INTEGER": "'integer'",
    "BOOLEAN": "'integer'",
    "FLOAT": "'real', 'integer'",
    "VARCHAR": "'text'",
    "BLOB": "'blob'",
}

# What may not be: in which table, which rows, what the user is told.
WRONG = (
    (
        "images",
        "typeof(digest) != 'blob' OR length(digest) != 16 OR width < 1 OR height < 1",
        "have no proper digest or size",
    ),
    ("files", "root_id NOT IN (SELECT id FROM roots)", "lie in a folder that is not known"),
    (
        "files",
        "image_id IS NOT NULL AND image_id NOT IN (SELECT id FROM images)",
        "refer to an image that is not there",
    ),
    (
        "files",
        "(image_id IS NULL) = (failure IS NULL)",
        "have neither an image nor a reason why there is none, or both",
    ),
    ("embeddings", "image_id NOT IN (SELECT id FROM images)", "are of no image"),
    ("embeddings", "model_id NOT IN (SELECT id FROM models)", "are of no model"),
    (
        "embeddings",
        "length(vector) != 2 * (SELECT dim FROM models WHERE models.id = model_id)",
        "are not as long as their model has it",
    ),
)


def _of_rows(catalog: Catalog) -> Iterator[Fault]:
    tables = dict.fromkeys(("models", "roots", *(table for table, _, _ in WRONG)))
    strange = [(table, _of_other_types(catalog, table), "are no rows of ours") for table in tables]
    for table, condition, what in (*strange, *WRONG):
        [(count,)] = catalog.rows(f"SELECT count(*) FROM {table} WHERE {condition}")
        if count:
            drop = f"DELETE FROM {table} WHERE {condition}"
            yield Fault(f"{count:,} {table} {what}", partial(_run, statement=drop))


def _of_other_types(catalog: Catalog, table: str) -> str:
    """An SQL condition for the rows with a value of another type than its column's."""
    columns = catalog.rows(f"PRAGMA table_info({table})")
    kinds = {
        name: TYPES[type] + ("" if is_needed else ", 'null'")
        for _, name, type, is_needed, _, _ in columns
        if type in TYPES
    }
    return " OR ".join(f"typeof({name}) NOT IN ({kind})" for name, kind in kinds.items())


def _run(folder: Path, statement: str, parameters: tuple[int, ...] = ()) -> str:
    """A change that may leave rows that point nowhere: they are found in the next round."""
    with closing(connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        changed = connection.execute(statement, parameters).rowcount
    return f"{changed:,} dropped; the next `retrieve index` looks at these pictures again"


# -- models and vectors --------------------------------------------------------------------------


def _of_models(catalog: Catalog) -> Iterator[Fault]:
    [(current, models)] = catalog.rows("SELECT total(is_current), count(*) FROM models")
    if models and current != 1:
        yield Fault(f"{int(current)} models are current, not one of {models}", _choose_model)
    for model in catalog.models():
        wrong = list(_of_wrong_length(catalog, model))
        if wrong:
            drop = f"DELETE FROM embeddings WHERE model_id = {model.id} AND image_id IN "
            yield Fault(
                f"{len(wrong):,} vectors of {model.name} are not numbers of unit length",
                partial(_drop_vectors, drop=drop, ids=wrong),
            )


def _choose_model(folder: Path) -> str:
    """The one that encoded most."""
    most = (
        "SELECT models.id FROM models LEFT JOIN embeddings ON model_id = models.id "
        "GROUP BY models.id ORDER BY count(image_id) DESC, models.id LIMIT 1"
    )
    with closing(connect(folder / FILE_NAME)) as connection:
        connection.execute(f"UPDATE models SET is_current = (id = ({most}))")
    return "the one that encoded most was chosen"


def _of_wrong_length(catalog: Catalog, model: ModelRecord) -> Iterator[int]:
    """The images whose vector is not finite, or not of unit norm."""
    page = (
        "SELECT image_id, vector FROM embeddings WHERE model_id = ? AND image_id > ? "
        "AND length(vector) = ? ORDER BY image_id LIMIT ?"
    )
    after = -1
    while rows := catalog.rows(page, (model.id, after, 2 * model.dim, PAGE)):
        stored = np.frombuffer(b"".join(vector for _, vector in rows), "<f2")
        vectors = stored.astype(np.float32).reshape(len(rows), -1)
        is_unit = np.abs(np.linalg.norm(vectors, axis=1) - 1) < NORM_TOLERANCE  # False for NaN
        yield from (id for (id, _), good in zip(rows, is_unit, strict=True) if not good)
        after = rows[-1][0]


def _drop_vectors(folder: Path, drop: str, ids: list[int]) -> str:
    for chunk in chunks(ids):
        _run(folder, f"{drop} ({marks(chunk)})", tuple(chunk))
    return "they were dropped; the next `retrieve index` encodes these pictures again"


# -- the index file, and what is left over -------------------------------------------------------


def _of_index(catalog: Catalog, model: ModelRecord) -> Iterator[Fault]:
    path = index_file.path_of(catalog.folder, model.digest)
    if wrong := _wrong_with(path, catalog, model):
        yield Fault(f"{path.name} {wrong}", _rebuild)
    elif path.exists():
        yield from _of_its_vectors(path, catalog, model)


def _wrong_with(path: Path, catalog: Catalog, model: ModelRecord) -> str | None:
    from indexes import DamagedIndex, VectorIndex, verify  # FAISS

    if not path.exists():
        return "is missing" if catalog.embedded(model.id) else None
    try:
        index = VectorIndex.open(path)
        verify(path)
    except DamagedIndex as error:
        return str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
    if index.dim != (dim := index_file.dim_of(model)):
        return f"holds vectors of {index.dim} dimensions, not {dim}"
    return None


def _of_its_vectors(path: Path, catalog: Catalog, model: ModelRecord) -> Iterator[Fault]:
    """Where file and catalog differ in a few vectors, it is the catalog's that were altered: the
    file has a checksum of its own. Where they differ in most, it is another library's file.
    """
    from indexes import contents

    shared, last, other = 0, -1, list[int]()
    for ids, vectors in contents(path):
        known = catalog.vectors_of(model.id, ids.tolist())
        pairs = zip(ids.tolist(), vectors[:, : model.dim], strict=True)
        other += [id for id, vector in pairs if id in known and known[id] != vector.tobytes()]
        shared, last = shared + len(known), max(last, *ids.tolist(), -1)
    if len(other) * 2 > shared:
        said = f"{path.name} holds other vectors than the catalog for {len(other):,} images"
        yield Fault(said, _rebuild)
    elif other:
        said = f"{len(other):,} vectors of {model.name} are not what they were"
        drop = f"DELETE FROM embeddings WHERE model_id = {model.id} AND image_id IN "
        yield Fault(said, partial(_drop_vectors, drop=drop, ids=other))
    elif lacks := catalog.embedded(model.id, up_to=last) - shared:
        yield Fault(f"{path.name} lacks {lacks:,} images", _rebuild)


def _rebuild(folder: Path) -> str:
    with closing(Catalog.open(folder)) as catalog:
        model = catalog.current_model()
        assert model is not None
        index_file.rebuild(catalog, model)
    return "it was made anew"


def _of_leftovers(catalog: Catalog) -> Iterator[Fault]:
    parts = sorted(catalog.folder.glob(f"{FILE_NAME}.part*"))
    for path in (*index_file.leftovers(catalog), *parts):
        left = f"{path.name} is left over from a run that was killed"
        yield Fault(left, partial(_remove, name=path.name))


def _remove(folder: Path, name: str) -> str:
    (folder / name).unlink(missing_ok=True)
    return "it was removed"
