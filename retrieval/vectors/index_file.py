"""The vector index of a library: a file built from the catalog that may be deleted at any time.

Vectors added since it was built are its tail, which a search reads from the catalog.
"""

from collections.abc import Iterator
from contextlib import contextmanager
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
MAX_TAIL_FRACTION = 0.05  # of a flat file's vectors: it is written anew for its tail
MAX_LISTS_FACTOR = 1.5  # as many lists as it has would suit that many vectors: train others
MAX_DEAD_FRACTION = 0.25  # of the file's vectors: images that were forgotten


def path_of(catalog: Catalog, digest: str) -> Path:
    """Return the path of the index of the model with these weights."""
    name = digest[:16] + catalog.database.stamp(digest)
    return catalog.local_folder / INDEX_FILE.format(name)


def dim_of(model: ModelRecord) -> int:
    """Return the dimension of the vectors in the file, with their hubness if all were measured."""
    return model.dim + (PADDING_COLUMNS if is_measured(model) else 0)


def rebuild(catalog: Catalog, model: ModelRecord) -> "VectorIndex | None":
    """Build the file from the catalog; remove it and return None if there are no vectors.

    Raises LibraryReadOnly.
    """
    from indexes import VectorIndex, choose_spec  # FAISS: not needed by runs without changes

    path = path_of(catalog, model.digest)
    count = catalog.embeddings.count_vectors(model.id)
    with _explained(path):
        if not count:
            path.unlink(missing_ok=True)
            return None
        dim = dim_of(model)
        spec = choose_spec(count, dim, QUERY_PADDING if dim > model.dim else ())
        built = VectorIndex.build(path, _batches(catalog, model), spec, dim)
        for outdated in path.parent.glob(INDEX_FILE.format(model.digest[:16] + "-*")):
            if outdated != path:
                outdated.unlink(missing_ok=True)
        return built


def grow(catalog: Catalog, model: ModelRecord, last_id: int) -> None:
    """Add the vectors above `last_id`, the last in the file, to its lists.

    Raises LibraryReadOnly.
    """
    from indexes import VectorIndex

    path = path_of(catalog, model.digest)
    with _explained(path):
        VectorIndex.grow(path, _batches(catalog, model, last_id))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise because(LibraryReadOnly, f"cannot write {path}", error) from error


def outdate(catalog: Catalog, digest: str) -> None:
    """Remove the file before images that it lacks are encoded under ids that it covers."""
    path_of(catalog, digest).unlink(missing_ok=True)


def leftovers(catalog: Catalog) -> list[Path]:
    """Return index files that are incomplete, or whose model is not in use, or that are replaced by
    a store beside the catalog.
    """
    current = catalog.current_model()
    used = [model for model in catalog.models() if model == current or model.keeps_up]
    used = used if catalog.holdings.setting("vectors") is None else []
    kept = {path_of(catalog, model.digest) for model in used}
    there = catalog.local_folder.glob("vectors-*")
    return sorted(path for path in there if path not in kept and path.is_file())


def _batches(catalog: Catalog, model: ModelRecord, after: int = 0) -> "Batches":
    if not is_measured(model):
        return catalog.embeddings.vectors(model.id, after)
    measured = catalog.embeddings.measured(model.id, after)
    return ((ids, with_hubness(vectors, hubness)) for ids, vectors, hubness in measured)


def refresh(catalog: Catalog, model: ModelRecord) -> None:
    """Build the file again if it is missing, damaged or too much out of date.

    A long tail is added to the lists of a large one as they are. Raises LibraryReadOnly.
    """
    index, count = _opened(catalog, model), catalog.embeddings.count_vectors(model.id)
    if index is None:
        if count:
            rebuild(catalog, model)
        return
    alive = catalog.embeddings.count_vectors(model.id, up_to=index.last_id)
    tail, dead = count - alive, index.count - alive
    longest = MAX_TAIL if index.kind == "ivf" else max(MAX_TAIL, MAX_TAIL_FRACTION * index.count)
    is_other = index.dim != dim_of(model) or dead > MAX_DEAD_FRACTION * index.count
    if is_other or (tail > longest and not _suits(index, count)):
        rebuild(catalog, model)
    elif tail > longest:
        grow(catalog, model, index.last_id)


def _suits(index: "VectorIndex", count: int) -> bool:
    """Return whether the lists of an index suit `count` vectors about as well as new ones.

    Ids rise in the file, so nothing follows the further moments of images.
    """
    from indexes import choose_spec

    if index.has_further:
        return False
    spec = choose_spec(count, index.dim)
    return index.kind == spec.kind == "ivf" and spec.lists <= MAX_LISTS_FACTOR * index.lists


def _opened(catalog: Catalog, model: ModelRecord) -> "VectorIndex | None":
    from indexes import DamagedIndex, VectorIndex

    try:
        return VectorIndex.open(path_of(catalog, model.digest))
    except DamagedIndex:
        return None
