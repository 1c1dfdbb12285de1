"""Unit vectors → the nearest images: a store's results, checked against the catalog."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.queries.vector_ids import BITS, IMAGE, image_of, vector_id
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import Ids, Selection
from retrieval.records import Image, ModelRecord
from retrieval.vectors.hubness import is_measured
from retrieval.vectors.opening import address_of, open_store
from retrieval.vectors.scan import CatalogScan
from retrieval.vectors.store import Nearest, VectorStore

CHECKED_HITS = 16  # per search, whose scores are compared with the catalog
SCORE_TOLERANCE = 1e-3  # between scores by FAISS and by NumPy; 1e-6 in practice
WIDENING_FACTOR = 4  # for asking again, if too many hits are images that were forgotten


OpenStore = Callable[[Catalog, ModelRecord], VectorStore]


class Hit(NamedTuple):
    """An image found by a query."""

    score: float  # the cosine
    image: Image
    left: float  # cosine minus weighted hubness; hits are sorted by it
    hubness: float  # 0 if it was not measured
    moments: tuple[int, ...] = (0,)  # the one that was found, then others as near as the last hit


class Asked(NamedTuple):
    """The arguments of one search."""

    queries: NDArray[np.float32]  # (Q, D)
    limit: int
    allowed: Selection | None
    weights: NDArray[np.float32]  # (Q,), of hubness


class Searcher:
    """A searcher over the vectors of one catalog, which any number of threads may use at once."""

    def __init__(self, catalog: Catalog, open_store: OpenStore = open_store) -> None:
        self._catalog = catalog
        self._open_store = open_store
        self._stores: dict[int, tuple[Hashable, VectorStore]] = {}  # by the id of the model

    def store(self, model: ModelRecord) -> VectorStore:
        """Return the store of a model's vectors, opened once, and again where it has moved."""
        key, held = (model, address_of(self._catalog)), self._stores.get(model.id)
        if held and held[0] == key:
            return held[1]
        opened = self._open_store(self._catalog, model)
        self._stores[model.id] = key, opened
        if held:
            held[1].close()
        return opened

    def close(self) -> None:
        for _, store in self._stores.values():
            store.close()

    def prepare(self, model: ModelRecord) -> None:
        """Start to read the store into memory, while the query is encoded."""
        self.store(model).prepare()

    def search(
        self,
        model: ModelRecord,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | Ids | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> list[list[Hit]]:
        """Return the `limit` nearest images to each of `queries` (Q, D), among the images
        `allowed`, which may be sorted ids. An image is as near as the nearest of its moments.

        weights (Q,): factors of the hubness that is subtracted from each cosine (hubness.py);
        without them, or if hubness was not measured, hits are ranked by cosine. Best first, ties by
        image id.
        """
        if weights is None or not is_measured(model):
            weights = np.zeros(len(queries), np.float32)
        if isinstance(allowed, np.ndarray):
            allowed = Selection.of(allowed)
        asked = Asked(queries, limit, allowed, weights)
        store = self.store(model)
        hits, unverified = self._hits(store, model, asked)
        if not unverified:
            return hits
        is_ours = self._has_our_scores(model, queries, hits)
        if is_ours and not self._is_short(model, hits, asked):
            return hits
        exact, _ = self._hits(CatalogScan(self._catalog, model), model, asked)
        if not is_ours or (store.is_exact and _lacks(unverified, hits, exact)):
            store.distrust()
        return exact

    def count(self, model: ModelRecord, allowed: Selection | None, most: int) -> int:
        """Count the images that a search among `allowed` compares, but stop at `most`."""
        if allowed is None:
            return self._catalog.embeddings.at_least(model.id, most)
        return self.store(model).count(allowed, most)

    def _hits(
        self, store: VectorStore, model: ModelRecord, asked: Asked
    ) -> tuple[list[list[Hit]], int]:
        """Return the hits, and the id up to which they did not come from the catalog."""
        images: dict[int, Image | None] = {}  # None: no longer known
        queries, limit, allowed, weights = asked
        wanted = limit
        while True:
            nearest = store.search(queries, wanted, allowed, weights)
            self._look_up(images, image_of(nearest.ids[nearest.ids >= 0]))
            hubness = self._hubness(model, nearest.ids)
            rows = zip(nearest.scores, nearest.ids, hubness, weights, strict=True)
            hits = [_alive(*row, images, limit) for row in rows]
            if _is_all(nearest, wanted) or all(len(row) == limit for row in hits):
                return hits, nearest.unverified
            wanted *= WIDENING_FACTOR

    def _look_up(self, images: dict[int, Image | None], ids: NDArray[np.int64]) -> None:
        asked = [*{*ids.tolist()} - images.keys()]
        known = self._catalog.images.by_id(asked)
        images.update({id: known.get(id) for id in asked})

    def _hubness(self, model: ModelRecord, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the hubness of these vectors, (Q, k)."""
        if not is_measured(model):
            return np.zeros(ids.shape, np.float32)
        hubness = self._catalog.embeddings.hubness(model.id, [*{*ids.ravel().tolist()}])
        held = [[hubness.get(id, 0.0) for id in row] for row in ids.tolist()]
        return np.array(held, np.float32).reshape(ids.shape)

    def _has_our_scores(
        self, model: ModelRecord, queries: NDArray[np.float32], hits: list[list[Hit]]
    ) -> bool:
        """Return whether the scores agree with the catalog; another library's file has others."""
        found = [(query, hit) for query, row in zip(queries, hits, strict=True) for hit in row]
        found = found[:CHECKED_HITS]
        ids = [vector_id(hit.image.id, hit.moments[0]) for _, hit in found]
        stored = self._catalog.embeddings.vectors_of(model.id, ids)
        for id, (query, hit) in zip(ids, found, strict=True):
            vector = np.frombuffer(stored.get(id, b""), "<f2").astype(np.float32)
            cosine = float(query @ vector) if len(vector) else hit.score
            if abs(cosine - hit.score) > SCORE_TOLERANCE:
                return False
        return True

    def _is_short(self, model: ModelRecord, hits: list[list[Hit]], asked: Asked) -> bool:
        """Return whether there must be more hits: the file lacks some, or read too few lists."""
        fewest = min(map(len, hits), default=asked.limit)
        if fewest >= asked.limit:
            return False
        held = asked.allowed
        there = self._catalog.embeddings.count(model.id) if held is None else len(held.ids)
        return fewest < min(asked.limit, there)


def _is_all(nearest: Nearest, wanted: int) -> bool:
    """Return whether a search for more than `wanted` would find no more."""
    ids = nearest.ids
    return ids.shape[1] < wanted or bool((ids[:, -1] < 0).all())


def _lacks(last_id: int, hits: list[list[Hit]], exact: list[list[Hit]]) -> bool:
    """Return whether a store with ids up to `last_id` lacks vectors that the catalog has.

    A small number of hits is no proof: others may have written in the meantime, and images that an
    interrupted run left without a file are never found.
    """
    for row, whole in zip(hits, exact, strict=True):
        found = {hit.image.id for hit in row}
        if any(hit.image.id <= last_id and hit.image.id not in found for hit in whole):
            return True
    return False


def _alive(
    scores: Sequence[float],
    ids: Sequence[int],
    measured: Sequence[float],
    weight: float,
    images: dict[int, Image | None],
    limit: int,
) -> list[Hit]:
    """Return the first `limit` hits whose image is known and has a file, each image once."""
    hits, places = list[Hit](), dict[int, int]()
    for left, id, hubness in zip(scores, ids, measured, strict=True):
        moment, image = int(id) >> BITS, images.get(int(id) & IMAGE) if id >= 0 else None
        if image is None or not image.paths:
            continue
        if (place := places.get(image.id)) is not None:
            hits[place] = hits[place]._replace(moments=(*hits[place].moments, moment))
            continue
        if len(hits) == limit:
            break
        cosine = max(-1.0, min(1.0, float(left + weight * hubness)))  # float16 rounds
        places[image.id] = len(hits)
        hits.append(Hit(cosine, image, float(left), float(hubness), (moment,)))
    return hits
