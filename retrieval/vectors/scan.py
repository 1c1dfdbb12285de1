"""An exact scan of the catalog's own vectors, for a tail or if there is no other store."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from indexes import exact_search
from retrieval.catalog.queries.vector_ids import image_of
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import Selection
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import is_measured, with_hubness, with_weights
from retrieval.vectors.store import Nearest

FEW = 20_000  # images whose vectors are read by their ids
Page = tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float32]]


class CatalogScan:
    """A `VectorStore` without data of its own."""

    is_exact = True

    def __init__(self, catalog: Catalog, model: ModelRecord) -> None:
        self._catalog = catalog
        self._model = model

    def prepare(self) -> None:
        """Do nothing: vectors are read during the search."""

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
        after: int = 0,
    ) -> Nearest:
        """Search like `VectorStore.search`, but only images with ids above `after`."""
        nearest = none_for(queries)
        longer = is_measured(self._model)
        if longer:
            queries = with_weights(queries, weights)
        for ids, vectors, hubness in self._pages(allowed, after):
            if longer:
                vectors = with_hubness(vectors, hubness)
            found = Nearest(*exact_search(queries, ids, vectors, limit))
            nearest = merged(nearest, found, limit)
        return nearest

    def count(self, allowed: Selection, most: int) -> int:
        return min(len(allowed.ids), most)

    def _pages(self, allowed: Selection | None, after: int) -> Iterator[Page]:
        embeddings = self._catalog.embeddings
        if allowed is None:
            yield from embeddings.measured(self._model.id, after)
            return
        chosen = allowed.ids[allowed.ids > after]
        if len(chosen) <= FEW:
            yield from self._those([*chosen.tolist(), *embeddings.further(chosen).tolist()])
            return
        for ids, vectors, hubness in embeddings.measured(self._model.id, after):
            kept = np.isin(image_of(ids), chosen)
            yield ids[kept], vectors[kept], hubness[kept]

    def _those(self, ids: list[int]) -> Iterator[Page]:
        """Yield a few vectors, found one by one."""
        stored = self._catalog.embeddings.vectors_of(self._model.id, ids)
        if ids := sorted(stored):
            held = self._catalog.embeddings.hubness(self._model.id, ids)
            vectors = np.frombuffer(b"".join(stored[id] for id in ids), "<f2")
            hubness = np.array([held.get(id, 0.0) for id in ids], np.float32)
            yield np.array(ids, np.int64), vectors.reshape(len(ids), -1), hubness

    def refresh(self) -> None:
        """Do nothing: the catalog itself is searched."""

    distrust = close = refresh


def none_for(queries: NDArray[np.float32]) -> Nearest:
    shape = len(queries), 0
    return Nearest(np.empty(shape, np.float32), np.empty(shape, np.int64))


def merged(one: Nearest, other: Nearest, limit: int) -> Nearest:
    """Return the `limit` best of two results."""
    scores = np.concatenate([one.scores, other.scores], axis=1)
    ids = np.concatenate([one.ids, other.ids], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :limit]
    best = np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
    return Nearest(*best, max(one.unverified, other.unverified))
