"""Every change to a catalog: each function is one transaction, so that a crash never leaves a half.

Callers hold the write lock (`lock.py`); `forget` and `relocate`, which people call, take it.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.sqlite import insert

from retrieval import exclusions, thumbnails
from retrieval.catalog import LIST_LENGTH, Catalog
from retrieval.database import explained
from retrieval.errors import PathNotFound
from retrieval.exclusions import Exclusions
from retrieval.lock import write_lock
from retrieval.paths import place, relative, spellings
from retrieval.records import FileState, Found, ModelRecord, NewImage, Root, Shot, Vectors
from retrieval.schema import EmbeddingRow, FileRow, ImageRow, ModelRow, RootRow, ShotRow
from retrieval.spelling import respelled

Standings = Mapping[int, NDArray[np.float32]]  # image id -> mean and deviation, (2,)


def record(
    catalog: Catalog,
    files: Sequence[FileState],
    images: Sequence[NewImage] = (),
    vectors: Vectors | None = None,
) -> None:
    """A batch: new images, their vectors, and the files that hold them.

    What is there already stays, so the same batch may be recorded twice.
    """
    with explained(catalog.folder), catalog.engine().begin() as connection:
        if images:
            connection.execute(insert(ImageRow).on_conflict_do_nothing(), _image_rows(images))
        digests = {file.digest for file in files if file.digest}
        digests.update(image.digest for image in images)
        ids = _ids_of(connection, list(digests.union(vectors.of if vectors else ())))
        _insert_shots(connection, {ids[i.digest]: i.shot for i in images if i.shot})
        if vectors:
            _insert_vectors(connection, vectors, ids)
        if files:
            _upsert_files(connection, files, ids)


def describe(catalog: Catalog, shots: Mapping[int, Shot], hashes: Mapping[int, bytes]) -> None:
    """What the EXIF of these images (by id) says, and their difference hashes."""
    rows = [{"image": id, "hash": hash} for id, hash in hashes.items()]
    hashed = update(ImageRow).where(ImageRow.id == bindparam("image"))
    with explained(catalog.folder), catalog.engine().begin() as connection:
        _insert_shots(connection, shots)
        if rows:
            connection.execute(hashed.values({"difference_hash": bindparam("hash")}), rows)


def identify(catalog: Catalog, files: Sequence[tuple[int, Found]]) -> None:
    """The inodes, and the times of their last change, of files (root id, as found) that are as the
    catalog has them otherwise.
    """
    rows = [
        {"root": root_id, "inside": found.path, "ctime": found.ctime_ns, "number": found.inode}
        for root_id, found in files
    ]
    here = (FileRow.root_id == bindparam("root")) & (FileRow.path == bindparam("inside"))
    known: dict[str, Any] = {"ctime_ns": bindparam("ctime"), "inode": bindparam("number")}
    with explained(catalog.folder), catalog.engine().begin() as connection:
        connection.execute(update(FileRow).where(here).values(known), rows)


def remove_files(catalog: Catalog, files: Iterable[tuple[int, bytes]]) -> None:
    """Drop the rows of these (root id, path)."""
    rows = [{"root": root_id, "inside": path} for root_id, path in files]
    if not rows:
        return
    condition = (FileRow.root_id == bindparam("root")) & (FileRow.path == bindparam("inside"))
    with explained(catalog.folder), catalog.engine().begin() as connection:
        connection.execute(delete(FileRow).where(condition), rows)


def sweep(catalog: Catalog) -> None:
    """Drop images without a file, with their vectors and thumbnails, and roots that lost all that
    was named.
    """
    with explained(catalog.folder), catalog.engine().begin() as connection:
        gone = _sweep(connection)
    thumbnails.forget(catalog.folder, gone)


# -- models --------------------------------------------------------------------------------------


def adopt_model(
    catalog: Catalog, name: str, digest: str, dim: int, precision: str, bank: str | None = None
) -> ModelRecord:
    """The row of the model with these weights; the first one in a catalog becomes current.

    precision: of what is going to be encoded; what is finer than before does not change the row.
    bank: what the vectors of a model that is new here are going to be measured with.
    """
    with explained(catalog.folder), catalog.engine().begin() as connection:
        first = connection.execute(select(func.count()).select_from(ModelRow)).scalar_one() == 0
        adopted = insert(ModelRow).values(
            name=name, digest=digest, dim=dim, precision=precision, is_current=first, bank=bank
        )
        coarsest = ModelRow.precision if precision == "fp32" else precision
        renewed = adopted.on_conflict_do_update(
            index_elements=["digest"], set_={"name": name, "precision": coarsest}
        )
        stored = renewed.returning(ModelRow.id, ModelRow.precision, ModelRow.bank)
        id, precision, held = connection.execute(stored).one()
    return ModelRecord(id, name, digest, dim, precision, held)


def switch_model(catalog: Catalog, model: ModelRecord) -> None:
    """Make `model` current, and drop the others with all their vectors."""
    with explained(catalog.folder), catalog.engine().begin() as connection:
        connection.execute(delete(ModelRow).where(ModelRow.id != model.id))
        connection.execute(update(ModelRow).values(is_current=True))


def measure(catalog: Catalog, model: ModelRecord, standings: Standings) -> None:
    """How these images (by id) stand to a bank of sentences, by this model."""
    rows = [
        {"image": id, "mean": float(mean), "deviation": float(deviation)}
        for id, (mean, deviation) in standings.items()
    ]
    measured = update(EmbeddingRow).where(
        (EmbeddingRow.model_id == model.id) & (EmbeddingRow.image_id == bindparam("image"))
    )
    values: dict[str, Any] = {
        "bank_mean": bindparam("mean"),
        "bank_deviation": bindparam("deviation"),
    }
    with explained(catalog.folder), catalog.engine().begin() as connection:
        connection.execute(measured.values(values), rows)


def all_measured(catalog: Catalog, model: ModelRecord, bank: str) -> None:
    """Every vector of the model was measured with this bank."""
    with explained(catalog.folder), catalog.engine().begin() as connection:
        connection.execute(update(ModelRow).where(ModelRow.id == model.id).values(bank=bank))


# -- roots ---------------------------------------------------------------------------------------


def place_root(catalog: Catalog, path: Path, entire: bool) -> Root:
    """The root at `path`, made if need be; roots below an entire one become part of it."""
    with explained(catalog.folder), catalog.engine().begin() as connection:
        return _place_root(catalog, connection, path, entire)


def exclude(catalog: Catalog, changed: Mapping[int, Exclusions]) -> None:
    """What is left out of roots (by id) from now on."""
    with explained(catalog.folder), catalog.engine().begin() as connection:
        for root_id, held in changed.items():
            _exclude(connection, root_id, held)


def forget(catalog: Catalog, path: Path) -> int:
    """See `Catalog.forget`. What is still in a root that stays is excluded from it."""
    with write_lock(catalog.folder), explained(catalog.folder):
        known = _known_at(catalog, path)
        with catalog.engine().begin() as connection:
            files = sum(_forget(catalog, connection, root, inside) for root, inside in known)
            gone = _sweep(connection)
    thumbnails.forget(catalog.folder, gone)
    return files


def relocate(catalog: Catalog, old: Path, new: Path) -> int:
    """See `Catalog.relocate`. Roots below `old` move with it; so does a folder inside a root."""
    if not new.exists():
        raise PathNotFound(f"{new} does not exist; name the place where the pictures are now")
    target = Path(os.path.realpath(new))
    with write_lock(catalog.folder), explained(catalog.folder):
        known = _known_at(catalog, old)
        with catalog.engine().begin() as connection:
            files = 0
            for root, inside in known:
                if inside:
                    files += _move_part(catalog, connection, root, inside, target)
                else:
                    below = (relative(spelling, root.path) for spelling in spellings(old))
                    inside = next(each for each in below if each is not None)
                    files += _move_root(catalog, connection, root, place(target, inside))
            _sweep(connection)
    return files


def follow(catalog: Catalog, old: Path, new: Path) -> int:
    """Write the root at `old` as one at `new`, which are the same folder; returns its files."""
    with explained(catalog.folder), catalog.engine().begin() as connection:
        for root in _roots(catalog, connection):
            if root.path == old:
                return _move_root(catalog, connection, root, new)
    return 0  # another one, followed before it, took it in


# -- within a transaction ------------------------------------------------------------------------


def _known_at(catalog: Catalog, path: Path) -> list[tuple[Root, bytes]]:
    """The roots at or below `path` (with b""), or those with files at or below it, and where."""
    known: dict[int, tuple[Root, list[bytes]]] = {}
    for spelling in spellings(path):
        for root in catalog.around(spelling):
            inside = relative(root.path, spelling)
            if not inside:
                known[root.id] = (root, [b""])
            elif root.id not in known:
                spelled = catalog.known_as(root.id, inside)
                if catalog.has_files(root.id, spelled[0]):
                    known[root.id] = (root, spelled)
    if not known:
        raise PathNotFound(f"{path} is not in the library; `retrieve status` lists what is")
    return [(root, inside) for root, places in known.values() for inside in places]


def _forget(catalog: Catalog, connection: Connection, root: Root, inside: bytes) -> int:
    here, values = _at(root, inside)
    files = connection.execute(text(f"DELETE FROM files WHERE {here}"), values).rowcount
    if not inside:
        connection.execute(delete(RootRow).where(RootRow.id == root.id))
    elif root.entire and (place(root.path, inside).exists() or not root.path.is_dir()):
        held = _root(catalog, connection, root.id).exclusions
        _exclude(connection, root.id, held.with_forgotten(inside))
    return files


def _exclude(connection: Connection, root_id: int, held: Exclusions) -> None:
    here = update(RootRow).where(RootRow.id == root_id)
    connection.execute(here.values(exclude=held.stored()))


def _place_root(catalog: Catalog, connection: Connection, path: Path, entire: bool) -> Root:
    stored = _stored(catalog, path)
    placed = insert(RootRow).values(path=stored, entire=entire)
    widened = placed.on_conflict_do_update(
        index_elements=["path"], set_={"entire": RootRow.entire | placed.excluded.entire}
    )
    id, entire = connection.execute(widened.returning(RootRow.id, RootRow.entire)).one()
    root = Root(id, path, entire)
    _absorb(catalog, connection, root)
    return root


def _absorb(catalog: Catalog, connection: Connection, root: Root) -> None:
    """Make the roots at or below the path of `root` part of it."""
    for other in _roots(catalog, connection):
        # Where case is all one, a root that was renamed in case alone is found by its old name.
        inside = relative(root.path, respelled(other.path, root.path))
        if other.id != root.id and (inside == b"" or root.entire and inside):
            _move(connection, (other, b""), (root, inside or b""))
            held = _root(catalog, connection, root.id).exclusions
            moved = other.exclusions.moved(b"", inside or b"")
            _exclude(connection, root.id, held.and_(moved))
            connection.execute(delete(RootRow).where(RootRow.id == other.id))


def _move_root(catalog: Catalog, connection: Connection, root: Root, path: Path) -> int:
    """The files of `root` are below `path` now; returns how many there are."""
    for other in _roots(catalog, connection):
        inside = relative(other.path, path)
        if other.entire and other.id != root.id and inside is not None:
            files = _move(connection, (root, b""), (other, inside))
            held = other.exclusions.and_(root.exclusions.moved(b"", inside))
            _exclude(connection, other.id, held.with_named(inside))
            connection.execute(delete(RootRow).where(RootRow.id == root.id))
            return files
    moved = Root(root.id, path, root.entire)
    _absorb(catalog, connection, moved)
    at = update(RootRow).where(RootRow.id == root.id)
    connection.execute(at.values(path=_stored(catalog, path)))
    counted = select(func.count()).select_from(FileRow).where(FileRow.root_id == root.id)
    return connection.execute(counted).scalar_one()


def _move_part(
    catalog: Catalog, connection: Connection, root: Root, inside: bytes, path: Path
) -> int:
    """What `root` has at `inside` is at `path` now, in whichever root that is."""
    for other in _roots(catalog, connection):
        below = relative(other.path, path)
        if other.entire and below is not None:
            return _move_between(catalog, connection, (root, inside), (other, below))
    folder = path if path.is_dir() else path.parent
    goal = _place_root(catalog, connection, folder, entire=path.is_dir())
    below = relative(folder, path) or b""
    return _move_between(catalog, connection, (root, inside), (goal, below))


def _move_between(
    catalog: Catalog, connection: Connection, source: tuple[Root, bytes], goal: tuple[Root, bytes]
) -> int:
    """Move files, and what is excluded among them."""
    (root, inside), (other, below) = source, goal
    moved = root.exclusions.moved(inside, below, is_same_root=root.id == other.id)
    _exclude(connection, root.id, root.exclusions.without(inside))
    if other.entire:
        held = _root(catalog, connection, other.id).exclusions.and_(moved)
        _exclude(connection, other.id, held.with_named(below))
    return _move(connection, source, goal)


def _move(connection: Connection, source: tuple[Root, bytes], goal: tuple[Root, bytes]) -> int:
    """Write another root and folder into the files at or below (root, relative path)."""
    (root, inside), (other, below) = source, goal
    here, values = _at(root, inside)
    # What follows `inside` begins with a slash, what follows the root itself does not.
    prefix = below + b"/" if below and not inside else below
    skip = len(inside) + 1 if inside and not below else len(inside)
    moved = f"""UPDATE OR REPLACE files SET root_id = :other,
        path = CAST(:prefix || substr(path, :skip + 1) AS BLOB) WHERE {here}"""
    values = {**values, "other": other.id, "prefix": prefix, "skip": skip}
    return connection.execute(text(moved), values).rowcount


def _at(root: Root, inside: bytes) -> tuple[str, dict[str, object]]:
    """An SQL condition for the files of `root` at or below `inside`, and its parameters."""
    condition = "root_id = :root"
    if inside:
        condition += " AND (path = :inside OR (path >= :low AND path < :high))"
    low, high = inside + b"/", inside + b"0"  # "0" follows "/"
    return condition, {"root": root.id, "inside": inside, "low": low, "high": high}


def _roots(catalog: Catalog, connection: Connection) -> list[Root]:
    """As this transaction sees them."""
    rows = connection.execute(select(RootRow.id, RootRow.path, RootRow.entire, RootRow.exclude))
    return [
        Root(id, catalog.root_path(path), entire, exclusions.read(exclude))
        for id, path, entire, exclude in rows
    ]


def _root(catalog: Catalog, connection: Connection, root_id: int) -> Root:
    return next(root for root in _roots(catalog, connection) if root.id == root_id)


def _stored(catalog: Catalog, path: Path) -> bytes:
    """Relative to the library where it lies in the root, so that both may move together."""
    if catalog.folder.is_relative_to(path):
        return os.fsencode(os.path.relpath(path, catalog.folder))
    return os.fsencode(path)


def _ids_of(connection: Connection, digests: Sequence[bytes]) -> dict[bytes, int]:
    ids: dict[bytes, int] = {}
    for start in range(0, len(digests), LIST_LENGTH):
        some = digests[start : start + LIST_LENGTH]
        found = select(ImageRow.digest, ImageRow.id).where(ImageRow.digest.in_(some))
        ids.update((digest, id) for digest, id in connection.execute(found))
    return ids


def _image_rows(images: Sequence[NewImage]) -> list[dict[str, object]]:
    names = [field.name for field in fields(NewImage) if field.name != "shot"]
    return [{name: getattr(image, name) for name in names} for image in images]


def _insert_shots(connection: Connection, shots: Mapping[int, Shot]) -> None:
    rows = [{"image_id": id, **asdict(shot)} for id, shot in shots.items()]
    if rows:
        connection.execute(insert(ShotRow).on_conflict_do_nothing(), rows)


def _insert_vectors(connection: Connection, vectors: Vectors, ids: dict[bytes, int]) -> None:
    rows = [
        {
            "model_id": vectors.model_id,
            "image_id": ids[digest],
            "vector": vector.astype("<f2").tobytes(),
            **_standing(vectors.standings.get(digest)),
        }
        for digest, vector in vectors.of.items()
    ]
    connection.execute(insert(EmbeddingRow).on_conflict_do_nothing(), rows)


def _standing(measured: NDArray[np.float32] | None) -> dict[str, float | None]:
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
            "failure": file.failure,
            "ctime_ns": file.ctime_ns,
            "inode": file.inode,
        }
        for file in files
    ]
    put = insert(FileRow)
    names = ("size", "mtime_ns", "image_id", "failure", "ctime_ns", "inode")
    changed = {name: put.excluded[name] for name in names}
    connection.execute(
        put.on_conflict_do_update(index_elements=["root_id", "path"], set_=changed), rows
    )


def _sweep(connection: Connection) -> Sequence[bytes]:
    """Returns the digests of the images that went."""
    held = select(FileRow.image_id).where(FileRow.image_id.is_not(None))
    lost = delete(ImageRow).where(ImageRow.id.not_in(held)).returning(ImageRow.digest)
    gone = connection.scalars(lost).all()
    with_files = select(FileRow.root_id)
    emptied = RootRow.entire.is_(False) & RootRow.id.not_in(with_files)
    connection.execute(delete(RootRow).where(emptied))
    return gone
