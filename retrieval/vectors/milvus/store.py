"""A vector store in Milvus: a search there, and of the catalog for the news that it lacks yet."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from clipmodel.pools import Lock
from retrieval.catalog.queries.vector_ids import IMAGE
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import Selection
from retrieval.errors import LibraryBusy, LibraryReadOnly, VectorsUnavailable
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import is_measured
from retrieval.vectors.milvus import checking, filling
from retrieval.vectors.milvus.address import of_stored
from retrieval.vectors.milvus.collection import MAX_LIMIT, MilvusCollection
from retrieval.vectors.milvus.entities import with_weights
from retrieval.vectors.milvus.expressions import expression_of
from retrieval.vectors.milvus.tuning import effort_of
from retrieval.vectors.scan import CatalogScan, merged, none_for
from retrieval.vectors.store import Nearest

MAX_TAIL = 10_000  # images in the outbox that a search reads from the catalog
MAX_SCANNED = 1_000_000  # vectors, scanned if Milvus cannot be used: 7 s of a core at 512 D
MAX_LISTED = 20_000  # ids in one expression


class MilvusStore:
    """The `VectorStore` of a library whose vectors one machine cannot search."""

    def __init__(self, catalog: Catalog, model: ModelRecord, stored: str) -> None:
        """stored: the address, as the catalog keeps it."""
        self._catalog = catalog
        self._model = model
        self.address = of_stored(stored, catalog.database.base)
        self._name = filling.name_of(catalog, model, self.address)
        self._scan = CatalogScan(catalog, model)
        self._opening = Lock()
        self._collection: MilvusCollection | None = None

    def prepare(self) -> None:
        """Connect while the query is encoded: importing pymilvus takes a second."""

        def connect() -> None:
            with suppress(VectorsUnavailable):
                self._connected()

        threading.Thread(target=connect, name="milvus", daemon=True).start()

    def close(self) -> None:
        with self._opening:
            if self._collection is not None:
                self._collection.close()
                self._collection = None

    @property
    def is_exact(self) -> bool:
        return effort_of(self._catalog).kind == "FLAT"

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
    ) -> Nearest:
        if not len(queries):
            return none_for(queries)
        is_listed = allowed is not None and expression_of(allowed) is None
        if allowed is not None and is_listed and len(allowed.ids) <= MAX_LISTED:
            return self._scan.search(queries, limit, allowed, weights)
        try:
            waiting = self._waiting()
            tail = waiting if allowed is None or not len(waiting) else _both(waiting, allowed.ids)
            found = self._found(queries, limit, allowed, weights, waiting)
            news = self._scan.search(queries, limit, Selection.of(tail), weights)
            return merged(found, news, limit)
        except VectorsUnavailable as error:
            return self._scanned(queries, limit, allowed, weights, error)

    def count(self, allowed: Selection, most: int) -> int:
        if (expression := expression_of(allowed)) is not None:
            with suppress(VectorsUnavailable):
                self._waiting()
                firsts = f"({expression}) and id <= {IMAGE}"  # moments: one for each image
                return min(self._connected().count(firsts), most)
        return min(len(allowed.ids), most)

    def refresh(self) -> None:
        """Raises VectorsUnavailable."""
        filling.fill(self._catalog, self._model, self._connected())

    def rebuild(self) -> None:
        """Fill a new collection. Raises VectorsUnavailable."""
        filling.fill(self._catalog, self._model, self._connected(), is_new=True)

    def describe(self) -> tuple[str, int]:
        """Return the kind of the index and the number of vectors. Raises VectorsUnavailable."""
        collection = self._connected()
        return collection.index_kind(), collection.count()

    def disagreements(self) -> Iterator[str]:
        """Yield how the collection differs from the catalog. Raises VectorsUnavailable."""
        if not filling.is_followed(self._catalog, self._name) or not self._connected().exists():
            yield f"{self.address.shown} has not been filled"
            return
        yield from checking.disagreements(self._catalog, self._model, self._connected())

    def distrust(self) -> None:
        """Scan the catalog until the next index run has filled a new collection."""
        from retrieval.catalog.recording import settings

        with suppress(LibraryBusy, LibraryReadOnly), self._catalog.database.running():
            settings.put(self._catalog, {filling.FILLED_SETTING: None})

    def _connected(self) -> MilvusCollection:
        with self._opening:
            if self._collection is None:
                self._collection = MilvusCollection(self.address, self._name, self._model.dim)
            return self._collection

    def _waiting(self) -> NDArray[np.int64]:
        """Return the images that the collection lacks, or holds as they were, sorted. Raises
        VectorsUnavailable if they are too many.
        """
        held = self._catalog.holdings
        if not filling.is_followed(self._catalog, self._name):
            raise VectorsUnavailable("Milvus has not been filled; run `retrieve index`")
        waiting = held.waiting(MAX_TAIL + 1)
        if len(waiting) > MAX_TAIL:
            lacks = f"{held.count_waiting():,} pictures are not in Milvus yet"
            raise VectorsUnavailable(f"{lacks}; run `retrieve index`")
        return np.array(waiting, np.int64)

    def _found(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
        waiting: NDArray[np.int64],
    ) -> Nearest:
        """Search in Milvus, without the images in the outbox."""
        if limit > MAX_LIMIT:
            raise VectorsUnavailable(f"Milvus finds at most {MAX_LIMIT:,} pictures at once")
        weights = weights if is_measured(self._model) else np.zeros_like(weights)
        longer, params = with_weights(queries, weights), effort_of(self._catalog).params(limit)
        current = [f"image not in {waiting.tolist()}"] if len(waiting) else []
        collection, nearest = self._connected(), none_for(queries)
        for part in _expressions(allowed):
            expression = " and ".join([*(f"({each})" for each in part), *current])
            found = Nearest(*collection.search(longer, limit, expression, params), unverified=IMAGE)
            nearest = merged(nearest, found, limit)
        return nearest

    def _scanned(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
        why: VectorsUnavailable,
    ) -> Nearest:
        """Search the catalog, unless it is too large. Raises VectorsUnavailable."""
        count = self._catalog.embeddings.count(self._model.id)
        if count > MAX_SCANNED:
            raise VectorsUnavailable(
                f"{why} ({count:,} vectors are too many to scan, at most {MAX_SCANNED:,})"
            ) from why
        return self._scan.search(queries, limit, allowed, weights)


def _expressions(allowed: Selection | None) -> Iterator[list[str]]:
    """Yield the expressions of as many searches as a selection takes, each in parts."""
    if allowed is None:
        yield []
    elif (expression := expression_of(allowed)) is not None:
        yield [expression] if expression else []
    else:
        for start in range(0, len(allowed.ids), MAX_LISTED):
            yield [f"image in {allowed.ids[start : start + MAX_LISTED].tolist()}"]


def _both(waiting: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.int64]:
    return waiting[np.isin(waiting, ids, assume_unique=True)]
