"""An exact scan of the catalog's own vectors, for a tail or if there is no other store."""

import numpy as np
from numpy.typing import NDArray

from indexes import exact_search
from retrieval.catalog.reading import Catalog
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import is_measured, with_hubness, with_weights
from retrieval.vectors.store import Nearest


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
        allowed: NDArray[np.int64] | None,
        weights: NDArray[np.float32],
        after: int = 0,
    ) -> Nearest:
        """Search like `VectorStore.search`, but only ids above `after`."""
        nearest = none_for(queries)
        longer = is_measured(self._model)
        if longer:
            queries = with_weights(queries, weights)
        for ids, vectors, hubness in self._catalog.embeddings.measured(self._model.id, after):
            if longer:
                vectors = with_hubness(vectors, hubness)
            if allowed is not None:
                chosen = np.isin(ids, allowed, assume_unique=True)
                ids, vectors = ids[chosen], vectors[chosen]
            found = Nearest(*exact_search(queries, ids, vectors, limit))
            nearest = merged(nearest, found, limit)
        return nearest

    def refresh(self) -> None:
        """Do nothing: the catalog itself is searched."""

    distrust = refresh


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
