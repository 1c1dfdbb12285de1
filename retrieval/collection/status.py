"""`retrieve status`: what a library holds, where, and in how many bytes."""

from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from retrieval.address import RemotePath
from retrieval.catalog import thumbnail_cache
from retrieval.catalog.reading import Catalog
from retrieval.collection.other_models import OtherModel, others
from retrieval.errors import VectorsUnavailable
from retrieval.paths import size_of
from retrieval.records import Counts, LeftOut, ModelRecord, Underway
from retrieval.vectors import index_file
from retrieval.vectors.milvus.store import MilvusStore
from retrieval.vectors.opening import address_of, open_store


@dataclass(frozen=True, slots=True)
class RootStatus:
    """A folder of the library."""

    path: Path
    files: int
    is_entire: bool  # False: only files that were named
    is_present: bool  # False: not mounted, or moved
    excluded: tuple[str, ...] = ()  # globs, and forgotten places in it
    left_out: tuple[LeftOut, ...] = ()  # by the last run over it


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """The vector index. Newer vectors are read from the catalog, so searches find them too."""

    kind: str  # "flat": exact; "ivf": approximate; "HNSW in milvus://…"
    vectors: int
    bytes: int  # in the library's folder


@dataclass(frozen=True, slots=True)
class Status:
    """A library at a glance."""

    where: str  # a folder, or a database
    model: ModelRecord | None  # None until something has been encoded
    counts: Counts
    roots: tuple[RootStatus, ...]
    index: IndexStatus | None  # None: missing, damaged or out of reach; the next run mends it
    catalog_bytes: int
    thumbnail_bytes: int
    underway: Underway | None  # an index run in progress, in any process
    others: tuple[OtherModel, ...] = ()  # models whose embeddings are kept, too
    companions: int = 0  # files beside pictures that are not indexed themselves

    @property
    def left_out(self) -> tuple[LeftOut, ...]:
        """What the last runs left out of all folders, by kind and extension."""
        sums: Counter[tuple[str, str]] = Counter()
        for root in self.roots:
            sums.update({(each.kind, each.extension): each.count for each in root.left_out})
        return tuple(LeftOut(*at, count) for at, count in sorted(sums.items()))

    @property
    def bytes(self) -> int:
        """The total size on disk."""
        index_bytes = self.index.bytes if self.index else 0
        return self.catalog_bytes + index_bytes + self.thumbnail_bytes


def status_of(catalog: Catalog) -> Status:
    counts, model = catalog.counts(), catalog.current_model()
    left_out = catalog.other_files.totals()
    roots = tuple(
        RootStatus(
            root.path,
            counts.per_root.get(root.id, 0),
            root.entire,
            root.path.is_dir() or isinstance(root.path, RemotePath),
            tuple(root.exclusions.described()),
            tuple(left_out.get(root.id, ())),
        )
        for root in catalog.roots()
    )
    index = _index_status(catalog, model) if model else None
    return Status(
        catalog.where,
        model,
        counts,
        roots,
        index,
        catalog.database.size(),
        thumbnail_cache.bytes_of(catalog.local_folder),
        catalog.database.underway(),
        others(catalog),
        catalog.other_files.companion_count(),
    )


def nothing_at(where: str) -> Status:
    """Return the status of a library that does not exist yet."""
    return Status(where, None, Counts(0, 0, 0, 0, {}), (), None, 0, 0, None)


def _index_status(catalog: Catalog, model: ModelRecord) -> IndexStatus | None:
    if address_of(catalog) is not None:
        return _store_status(catalog, model)
    from indexes import DamagedIndex, VectorIndex  # FAISS

    path = index_file.path_of(catalog, model.digest)
    try:
        index = VectorIndex.open(path)
    except DamagedIndex:
        return None
    return IndexStatus(index.kind, index.count, size_of(path))


def _store_status(catalog: Catalog, model: ModelRecord) -> IndexStatus | None:
    """Describe the store beside the catalog; None if it cannot be reached."""
    with closing(open_store(catalog, model)) as store, suppress(VectorsUnavailable):
        assert isinstance(store, MilvusStore)
        kind, count = store.describe()
        return IndexStatus(f"{kind} in {store.address.shown}", count, 0)
    return None
