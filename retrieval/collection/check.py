"""`retrieve check`: find the problems of a library, and fix them.

    catalog    the engine's own check of the file; missing tables
    rows       references to other rows
    vectors    length, unit norm
    index      every byte of the file, and every vector in it against the catalog's
    leftovers  files of killed runs

Invalid rows are dropped; the next run reads those pictures again.
"""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from retrieval.catalog.integrity import (
    Fault,
    ForeignTables,
    Problem,
    damaged,
    drop_vectors,
    of_catalog,
    of_models,
    of_rows,
)
from retrieval.catalog.queries.vector_ids import IMAGE, image_of
from retrieval.catalog.reading import Catalog, database_at
from retrieval.errors import CatalogDamaged, LibraryBusy, LibraryReadOnly, VectorsUnavailable
from retrieval.locate import FILE_NAME, Place, local_folder
from retrieval.records import ModelRecord
from retrieval.vectors import index_file
from retrieval.vectors.milvus.store import MilvusStore
from retrieval.vectors.opening import address_of, open_store

WITHOUT_INDEX = "searches do without it, and the next `retrieve index` builds it"
MAX_ROUNDS = 4  # of repairs: each may leave references that the next one has to drop


def check(place: Place, repair: bool) -> list[Problem]:
    """Return all problems. With `repair`, fix what can be fixed.

    Raises LibraryTooNew; with `repair` also LibraryBusy and LibraryReadOnly.
    """
    if not repair:
        faults = _faults(place, _is_ours(place))
        return [Problem(fault.what, harmless=fault.harmless) for fault in faults]
    done: dict[str, str | None] = {}
    with database_at(place).exclusive():
        for _ in range(MAX_ROUNDS):
            found = list(_faults(place, True))
            done.update({fault.what: fault.mend(place) for fault in found})
            if not any(done[fault.what] for fault in found):
                break
        left = {fault.what for fault in _faults(place, True)}
    return [Problem(what, None if what in left else how) for what, how in done.items()]


def _is_ours(place: Place) -> bool:
    """Return whether nobody is writing now, so that half-written files must be leftovers."""
    try:
        with database_at(place).exclusive():
            return True
    except (LibraryBusy, LibraryReadOnly):
        return False


def _faults(place: Place, with_leftovers: bool) -> Iterator[Fault]:
    """Yield the faults. If the catalog itself is damaged, nothing else can be checked."""
    try:
        with closing(Catalog.open(place)) as catalog:
            catalog_faults = list(of_catalog(catalog))
            yield from catalog_faults
            if not catalog_faults:
                yield from of_rows(catalog)
                yield from of_models(catalog)
                if model := catalog.current_model():
                    beside = address_of(catalog)
                    yield from (_of_store if beside else _of_index)(catalog, model)
                if with_leftovers:
                    yield from _of_leftovers(catalog)
    except CatalogDamaged as error:
        yield damaged(str(error.__cause__))
    except ForeignTables as error:
        yield Fault(f"{FILE_NAME} is not a catalog of this program: {error}", lambda place: None)


# -- the index file, and what is left over -------------------------------------------------------


def _of_index(catalog: Catalog, model: ModelRecord) -> Iterator[Fault]:
    path = index_file.path_of(catalog, model.digest)
    if not path.exists():
        if catalog.embeddings.count(model.id):  # as after a backup was restored
            yield Fault(f"{path.name} is missing", _rebuild, WITHOUT_INDEX)
    elif wrong := _wrong_with(path, model):
        yield Fault(f"{path.name} {wrong}", _rebuild)
    else:
        yield from _of_its_vectors(path, catalog, model)


def _wrong_with(path: Path, model: ModelRecord) -> str | None:
    from indexes import DamagedIndex, VectorIndex, verify  # FAISS

    try:
        index = VectorIndex.open(path)
        verify(path)
    except DamagedIndex as error:
        return str(error).removeprefix(f"{path} ").removeprefix(f"{path}: ")
    if index.dim != (dim := index_file.dim_of(model)):
        return f"holds vectors of {index.dim} dimensions, not {dim}"
    return None


def _of_its_vectors(path: Path, catalog: Catalog, model: ModelRecord) -> Iterator[Fault]:
    """Compare the index with the catalog. If few vectors differ, the catalog's were altered, since
    the file has a checksum; if most differ, the file belongs to another library.
    """
    from indexes import contents

    shared, last, other = 0, -1, list[int]()
    for ids, vectors in contents(path):
        known = catalog.embeddings.vectors_of(model.id, ids.tolist())
        pairs = zip(ids.tolist(), vectors[:, : model.dim], strict=True)
        other += [id for id, vector in pairs if id in known and known[id] != vector.tobytes()]
        shared, last = shared + len(known), max(last, *image_of(ids).tolist(), -1)
    if len(other) * 2 > shared:
        said = f"{path.name} holds other vectors than the catalog for {len(other):,} images"
        yield Fault(said, _rebuild)
    elif other:
        said = f"{len(other):,} vectors of {model.name} were altered"
        images = sorted({id & IMAGE for id in other})
        yield Fault(said, partial(drop_vectors, model_id=model.id, image_ids=images))
    elif lacks := catalog.embeddings.count_vectors(model.id, up_to=last) - shared:
        yield Fault(f"{path.name} lacks {lacks:,} vectors", _rebuild)


def _rebuild(place: Place) -> str:
    with closing(Catalog.open(place)) as catalog:
        model = catalog.current_model()
        assert model is not None
        index_file.rebuild(catalog, model)
    return "rebuilt"


def _of_store(catalog: Catalog, model: ModelRecord) -> Iterator[Fault]:
    """Compare the store beside the catalog with it."""
    with closing(open_store(catalog, model)) as store:
        assert isinstance(store, MilvusStore)
        try:
            for said in store.disagreements():
                yield Fault(said, _refill)
        except VectorsUnavailable as error:
            yield Fault(str(error), lambda place: None, "so it was not compared with the catalog")


def _refill(place: Place) -> str | None:
    with closing(Catalog.open(place)) as catalog:
        model = catalog.current_model()
        assert model is not None
        with closing(open_store(catalog, model)) as store:
            assert isinstance(store, MilvusStore)
            store.rebuild()
    return "filled again"


def _of_leftovers(catalog: Catalog) -> Iterator[Fault]:
    parts = sorted(catalog.local_folder.glob(f"{FILE_NAME}.part*"))
    for path in (*index_file.leftovers(catalog), *parts):
        left = f"{path.name} is left over from a run that was killed"
        yield Fault(left, partial(_remove, name=path.name))


def _remove(place: Place, name: str) -> str:
    (local_folder(place) / name).unlink(missing_ok=True)
    return "removed"
