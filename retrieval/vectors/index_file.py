"""The vector index of a library: a file built from the catalog that may be deleted at any time.

Vectors added since it was built are its tail, which a search reads from the catalog.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryReadOnly, because
from retrieval.locate import INDEX_FILE
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import PADDING_COLUMNS, QUERY_PADDING, is_measured, with_hubness

if TYPE_CHECKING:
    from indexes import VectorIndex
    from indexes.builder import Batches

MAX_TAIL = 10_000  # vectors; scanned in some 30 ms
MAX_TAIL_FRACTION = 0.05  # of the file's vectors: a large index may have a longer tail
MAX_DEAD_FRACTION = 0.25  # of the file's vectors: images that were forgotten


def path_of(folder: Path, digest: str) -> Path:
    """Return the path of the index of the model with these weights."""
    return folder / INDEX_FILE.format(digest[:16])


def dim_of(model: ModelRecord) -> int:
    """Return the dimension of the vectors in the file, with their hubness if all were measured."""
    return model.dim + (PADDING_COLUMNS if is_measured(model) else 0)


def rebuild(catalog: Catalog, model: ModelRecord) -> "VectorIndex | None":
    """Build the file from the catalog; remove it and return None if there are no vectors.

    Raises LibraryReadOnly.
    """
    from indexes import VectorIndex, choose_spec  # FAISS: not needed by runs without changes

    path, count = path_of(catalog.local_folder, model.digest), catalog.embeddings.count(model.id)
    try:
        if not count:
            path.unlink(missing_ok=True)
            return None
        dim = dim_of(model)
        spec = choose_spec(count, dim, QUERY_PADDING if dim > model.dim else ())
        return VectorIndex.build(path, _batches(catalog, model), spec, dim)
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write {path}", error) from error


def outdate(catalog: Catalog, digest: str) -> None:
    """Remove the file before images that it lacks are encoded under ids that it covers."""
    path_of(catalog.local_folder, digest).unlink(missing_ok=True)


def leftovers(catalog: Catalog) -> list[Path]:
    """Return index files that are incomplete, or whose model is not in use."""
    current = catalog.current_model()
    kept = path_of(catalog.local_folder, current.digest) if current else None
    there = catalog.local_folder.glob("vectors-*")
    return sorted(path for path in there if path != kept and path.is_file())


def _batches(catalog: Catalog, model: ModelRecord) -> "Batches":
    if not is_measured(model):
        return catalog.embeddings.vectors(model.id)
    measured = catalog.embeddings.measured(model.id)
    return ((ids, with_hubness(vectors, hubness)) for ids, vectors, hubness in measured)


def refresh(catalog: Catalog, model: ModelRecord) -> None:
    """Build the file again if it is missing, damaged or too much out of date."""
    if _is_stale(catalog, model):
        rebuild(catalog, model)


def _is_stale(catalog: Catalog, model: ModelRecord) -> bool:
    from indexes import DamagedIndex, VectorIndex

    path, count = path_of(catalog.local_folder, model.digest), catalog.embeddings.count(model.id)
    if not path.exists():
        return count > 0
    try:
        index = VectorIndex.open(path)
    except DamagedIndex:
        return True
    alive = catalog.embeddings.count(model.id, up_to=index.last_id)
    tail, dead = count - alive, index.count - alive
    return (
        index.dim != dim_of(model)
        or tail > max(MAX_TAIL, MAX_TAIL_FRACTION * index.count)
        or dead > MAX_DEAD_FRACTION * index.count
    )
