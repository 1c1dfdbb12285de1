"""Changes to a catalog. Each function is one transaction, so a crash never leaves half a change.

Callers hold the library (`Database.running`). `forget` and `relocate` in `roots.py` do so
themselves, exclusively.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, exists, func, select, update

from retrieval.catalog import thumbnail_cache
from retrieval.catalog.database import LIST_LENGTH
from retrieval.catalog.queries.vector_ids import BITS, IMAGE
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import facts
from retrieval.catalog.recording.upsert import insert, put_all, put_changed, put_new
from retrieval.catalog.schema import (
    EmbeddingRow,
    FileRow,
    ImageRow,
    ModelRow,
    MomentRow,
    RootRow,
)
from retrieval.records import Failure, FileState, Found, ModelRecord, NewImage, Vectors

# The columns of an image that follow from its pixels.
FROM_PIXELS = (
    *("width", "height", "format", "difference_hash", "is_truncated", "decoding"),
    *("duration", "moment_count"),
)
NOT_COLUMNS = ("shot", "wordings", "moments")  # fields of NewImage

Hubness = Mapping[int, NDArray[np.float32]]  # vector id -> mean and deviation, (2,)


def record(
    catalog: Catalog,
    files: Sequence[FileState],
    images: Sequence[NewImage] = (),
    vectors: Vectors | None = None,
) -> None:
    """Write a batch: new images, their vectors, and the files that contain them.

    Existing vectors are kept, so the same batch may be recorded twice. Existing images are kept
    but for what follows from their pixels, which a newer version may decode differently. An image
    with moments has its vectors in their order.
    """
    with catalog.transaction() as connection:
        if images:
            put = put_changed(connection.dialect.name, ImageRow, ("digest",), FROM_PIXELS)
            put_all(connection, put, _image_rows(images))
        digests = {file.digest for file in files if file.digest}
        digests.update(image.digest for image in images)
        ids = _ids_of(connection, list(digests.union(vectors.of if vectors else ())))
        facts.insert_shots(connection, {ids[i.digest]: i.shot for i in images if i.shot})
        facts.add_wordings(connection, {ids[i.digest]: i.wordings for i in images if i.wordings})
        _insert_moments(connection, images, ids)
        if vectors:
            _insert_vectors(connection, vectors, ids)
        if files:
            _upsert_files(connection, files, ids)


def mark_still(catalog: Catalog, images: Sequence[int]) -> None:
    """Record that these images, by id, have no further moments."""
    rows = [{"image": id} for id in images]
    still = update(ImageRow).where(ImageRow.id == bindparam("image")).values(moment_count=1)
    with catalog.transaction() as connection:
        connection.execute(still, rows)


def identify(catalog: Catalog, files: Sequence[tuple[int, Found]]) -> None:
    """Write the inodes and ctimes of files (root id, as found) that are otherwise unchanged."""
    rows = [
        {"root": root_id, "inside": found.path, "ctime": found.ctime_ns, "number": found.inode}
        for root_id, found in files
    ]
    here = (FileRow.root_id == bindparam("root")) & (FileRow.path == bindparam("inside"))
    known: dict[str, Any] = {"ctime_ns": bindparam("ctime"), "inode": bindparam("number")}
    with catalog.transaction() as connection:
        connection.execute(update(FileRow).where(here).values(known), rows)


def remove_files(catalog: Catalog, files: Iterable[tuple[int, bytes]]) -> None:
    """Drop the rows of these files, given as (root id, path)."""
    rows = [{"root": root_id, "inside": path} for root_id, path in files]
    if not rows:
        return
    condition = (FileRow.root_id == bindparam("root")) & (FileRow.path == bindparam("inside"))
    with catalog.transaction() as connection:
        connection.execute(delete(FileRow).where(condition), rows)


def sweep(catalog: Catalog) -> None:
    """Drop images without a file, with their vectors and thumbnails, and roots of single files that
    have none left.
    """
    with catalog.transaction() as connection:
        gone = drop_unheld(connection)
    thumbnail_cache.forget(catalog.local_folder, gone)


# -- models --------------------------------------------------------------------------------------


def adopt_model(
    catalog: Catalog,
    name: str,
    digest: str,
    dim: int,
    precision: str,
    query_bank: str | None = None,
) -> ModelRecord:
    """Return the record of the model with these weights, added if it is new.

    The first model of a catalog becomes current. precision: of the vectors to come; the row keeps
    the coarsest. query_bank: digest of the query bank that measures the vectors of a new model.
    """
    with catalog.transaction() as connection:
        first = connection.execute(select(func.count()).select_from(ModelRow)).scalar_one() == 0
        adopted = insert(connection, ModelRow).values(
            name=name,
            digest=digest,
            dim=dim,
            precision=precision,
            is_current=first,
            bank=query_bank,
        )
        coarsest = ModelRow.precision if precision == "fp32" else precision
        renewed = adopted.on_conflict_do_update(
            index_elements=["digest"], set_={"name": name, "precision": coarsest}
        )
        stored = renewed.returning(ModelRow.id, ModelRow.precision, ModelRow.bank)
        id, precision, held = connection.execute(stored).one()
    return ModelRecord(id, name, digest, dim, precision, held)


def switch_model(catalog: Catalog, model: ModelRecord) -> None:
    """Make `model` current. The embeddings of the other models are kept."""
    with catalog.transaction() as connection:
        connection.execute(update(ModelRow).values(is_current=ModelRow.id == model.id))


def keep_up(catalog: Catalog, model: ModelRecord) -> None:
    """Record that this model encodes new pictures from now on, beside the current one."""
    with catalog.transaction() as connection:
        connection.execute(update(ModelRow).where(ModelRow.id == model.id).values(keeps_up=True))


def rename_model(catalog: Catalog, model: ModelRecord, name: str) -> None:
    """Give a model another name or path, by which its weights are found from now on."""
    with catalog.transaction() as connection:
        connection.execute(update(ModelRow).where(ModelRow.id == model.id).values(name=name))


def drop_model(catalog: Catalog, model: ModelRecord) -> None:
    """Drop a model with all its embeddings, and return their space to the disk."""
    with catalog.transaction() as connection:
        connection.execute(delete(ModelRow).where(ModelRow.id == model.id))
    catalog.database.shrink()


def measure(catalog: Catalog, model: ModelRecord, hubness: Hubness) -> None:
    """Write the hubness of vectors, by id, as this model measured it with a query bank."""
    rows = [
        {"image": id & IMAGE, "number": id >> BITS, "mean": float(mean), "dev": float(deviation)}
        for id, (mean, deviation) in hubness.items()
    ]
    measured = update(EmbeddingRow).where(
        (EmbeddingRow.model_id == model.id)
        & (EmbeddingRow.image_id == bindparam("image"))
        & (EmbeddingRow.moment == bindparam("number"))
    )
    values: dict[str, Any] = {
        "bank_mean": bindparam("mean"),
        "bank_deviation": bindparam("dev"),
    }
    with catalog.transaction() as connection:
        connection.execute(measured.values(values), rows)


def all_measured(catalog: Catalog, model: ModelRecord, query_bank: str) -> None:
    """Record that every vector of the model was measured with this query bank, by its digest."""
    with catalog.transaction() as connection:
        connection.execute(update(ModelRow).where(ModelRow.id == model.id).values(bank=query_bank))


# -- within a transaction ------------------------------------------------------------------------


def _ids_of(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    ids: dict[bytes, int] = {}
    for start in range(0, len(digests), LIST_LENGTH):
        some = digests[start : start + LIST_LENGTH]
        found = select(ImageRow.digest, ImageRow.id).where(ImageRow.digest.in_(some))
        ids.update((digest, id) for digest, id in connection.execute(found))
    return ids


def _image_rows(images: Sequence[NewImage]) -> list[dict[str, object]]:
    names = [name for name in NewImage._fields if name not in NOT_COLUMNS]
    return [
        {name: getattr(image, name) for name in names}
        | {"moment_count": max(1, len(image.moments))}
        for image in images
    ]


def _insert_moments(
    connection: Connection, images: Sequence[NewImage], ids: dict[bytes, int]
) -> None:
    rows = [
        {
            "image_id": ids[image.digest],
            "moment": moment.number,
            "unit": moment.unit,
            "position": moment.position,
        }
        for image in images
        for moment in image.moments
    ]
    if rows:
        put_all(connection, put_new(connection.dialect.name, MomentRow), rows)


def _insert_vectors(connection: Connection, vectors: Vectors, ids: dict[bytes, int]) -> None:
    rows = [
        {
            "model_id": vectors.model_id,
            "image_id": ids[digest],
            "moment": number,
            "vector": vector.astype("<f2").tobytes(),
            **_hubness_columns(measured),
        }
        for digest, several in vectors.of.items()
        if digest in ids  # another run may have dropped it
        for number, (vector, measured) in enumerate(_of_moments(several, vectors, digest))
    ]
    if rows:
        put_all(connection, put_new(connection.dialect.name, EmbeddingRow), rows)


def _of_moments(
    several: NDArray[np.float32], vectors: Vectors, digest: bytes
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32] | None]]:
    """Yield the vector of each moment of an image, (D,), and its hubness, (2,)."""
    rows, hubness = np.atleast_2d(several), vectors.hubness.get(digest)
    measured = itertools.repeat(None) if hubness is None else np.atleast_2d(hubness)
    yield from zip(rows, measured, strict=False)


def _hubness_columns(measured: NDArray[np.float32] | None) -> dict[str, float | None]:
    mean, deviation = (None, None) if measured is None else map(float, measured)
    return {"bank_mean": mean, "bank_deviation": deviation}


def _upsert_files(
    connection: Connection, files: Sequence[FileState], ids: dict[bytes, int]
) -> None:
    rows = [
        {
            "root_id": file.root_id,
            "path": file.path,
            "size": file.size,
            "mtime_ns": file.mtime_ns,
            "image_id": ids[file.digest] if file.digest else None,
            **_failure(file.failure),
            "ctime_ns": file.ctime_ns,
            "inode": file.inode,
            "version": file.version,
        }
        for file in {(file.root_id, file.path): file for file in files}.values()
        # Another run may have dropped the image, whose other files had vanished.
        if file.digest is None or file.digest in ids
    ]
    if not rows:
        return
    names = ("size", "mtime_ns", "image_id", "ctime_ns", "inode", "version", *_failure(None))
    put = put_changed(connection.dialect.name, FileRow, ("root_id", "path"), names)
    put_all(connection, put, rows)


def _failure(failure: Failure | None) -> dict[str, str | int | None]:
    """Return the columns of a file that describe its failure."""
    return {
        "failure": failure.reason if failure else None,
        "failure_code": failure.code.value if failure else None,
        "failure_limit": failure.limit if failure else None,
    }


def drop_unheld(connection: Connection) -> Sequence[bytes]:
    """Drop images without a file, and roots of single files that have none left; return the digests
    of the images.
    """
    held = exists().where(FileRow.image_id == ImageRow.id)
    lost = delete(ImageRow).where(~held).returning(ImageRow.digest)
    gone = connection.scalars(lost).all()
    with_files = exists().where(FileRow.root_id == RootRow.id)
    emptied = RootRow.entire.is_(False) & ~with_files
    connection.execute(delete(RootRow).where(emptied))
    return gone
