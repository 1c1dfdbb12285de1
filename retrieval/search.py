"""Unit vectors → the nearest images: the index file, the tail behind it, and what is still known.

As exact as the index file (beyond a million vectors it approximates), and right whatever becomes
of the file: one that is missing, damaged or another library's is made anew, or done without.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes import DamagedIndex, exact_search
from retrieval import index_file
from retrieval.catalog import Catalog
from retrieval.errors import LibraryBusy, LibraryReadOnly
from retrieval.records import Image, ModelRecord
from retrieval.standing import is_measured, with_pulls, with_shares

if TYPE_CHECKING:
    from indexes import VectorIndex

SMALL = 4 << 20  # bytes of an index file; its vectors are read from the catalog in some 10 ms
CHECKED = 16  # hits of a search whose scores are held against the catalog
TOLERANCE = 1e-3  # between a score by FAISS and one by NumPy; 1e-6 in practice
WIDER = 4  # times as many are asked for when too many of the hits are of forgotten images

Scored = tuple[NDArray[np.float32], NDArray[np.int64]]  # scores and ids (Q, k), best first


class Hit(NamedTuple):
    """An image near a query."""

    score: float  # the cosine
    image: Image
    left: float  # what is left of it after a share of the image's pull; hits are in its order
    pull: float  # 0 where it was not measured


class Searcher:
    """The vectors of one catalog. Any number of threads may search at once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._opening = threading.Lock()
        self._stamp: tuple[int, ...] | None = None
        self._index: VectorIndex | None = None
        self._is_first = True

    def prepare(self, model: ModelRecord) -> None:
        """Begin to bring the index file into memory; the query can be encoded meanwhile."""
        if index := self.index(model):
            index.read_ahead()

    def search(
        self,
        model: ModelRecord,
        queries: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64] | None = None,
        shares: NDArray[np.float32] | None = None,
    ) -> list[list[Hit]]:
        """The `limit` nearest images to each of `queries` (Q, D), among the sorted ids `allowed`.

        shares (Q,): of each image's pull, to be taken away from its cosines (standing.py); without,
        or where the images were not measured, it is the cosines that count. Best first; equal ones
        in the order of the images' ids.
        """
        if shares is None or not is_measured(model):
            shares = np.zeros(len(queries), np.float32)
        if is_measured(model):
            queries = with_shares(queries, shares)
        index = self.index(model)
        self._is_first = False
        hits = self._search(model, index, queries, shares, limit, allowed)
        if index is None:
            return hits
        is_ours = self._has_our_scores(model, queries, hits)
        is_short = self._is_short(model, hits, limit, allowed)
        if is_ours and not is_short:
            return hits
        exact = self._search(model, None, queries, shares, limit, allowed)
        if not is_ours or (index.kind == "flat" and _lacks(index.last_id, hits, exact)):
            self._distrust(model)
        return exact

    def index(self, model: ModelRecord) -> "VectorIndex | None":
        """The index file, opened again when it was replaced; None where there is no use in it.

        The first search of a small one is no use: importing FAISS takes longer than to do without.
        """
        path = index_file.path_of(self._catalog.folder, model.digest)
        with self._opening:
            stamp = _stamp(path)
            if self._is_first and stamp and stamp[2] < SMALL:
                return None
            if stamp is None or stamp != self._stamp:
                self._index, self._stamp = self._open(path, model, stamp is not None), stamp
            return self._index

    # -- searching -------------------------------------------------------------------------------

    def _search(
        self,
        model: ModelRecord,
        index: "VectorIndex | None",
        queries: NDArray[np.float32],
        shares: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64] | None,
    ) -> list[list[Hit]]:
        last_id = index.last_id if index else 0
        tail = self._scan(model, queries, limit, allowed, after=max(last_id, 0))
        images: dict[int, Image | None] = {}  # None: no longer known
        wanted = limit
        while True:
            found = index.search(queries, wanted, allowed) if index else _none(len(queries))
            scores, ids = _merge(found, tail)
            self._look_up(images, ids)
            pulls = self._pulls(model, ids)
            rows = zip(scores, ids, pulls, shares, strict=True)
            hits = [_alive(*row, images, limit) for row in rows]
            if _is_all(found, wanted) or _are_best(hits, found, limit):
                return hits
            wanted *= WIDER

    def _scan(
        self,
        model: ModelRecord,
        queries: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64] | None,
        after: int,
    ) -> Scored:
        """Exact search over the catalog's vectors of the images above `after`."""
        nearest = _none(len(queries))
        longer = is_measured(model)
        for ids, vectors, pulls in self._catalog.measured(model.id, after):
            if longer:
                vectors = with_pulls(vectors, pulls)
            if allowed is not None:
                chosen = np.isin(ids, allowed, assume_unique=True)
                ids, vectors = ids[chosen], vectors[chosen]
            scores, order = _merge(nearest, exact_search(queries, ids, vectors, limit))
            nearest = scores[:, :limit], order[:, :limit]
        return nearest

    def _look_up(self, images: dict[int, Image | None], ids: NDArray[np.int64]) -> None:
        asked = [id for id in {*ids.ravel().tolist()} - images.keys() if id >= 0]
        known = self._catalog.images(asked)
        images.update({id: known.get(id) for id in asked})

    def _pulls(self, model: ModelRecord, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of these images (Q, k)."""
        if not is_measured(model):
            return np.zeros(ids.shape, np.float32)
        pulls = self._catalog.pulls(model.id, [*{*ids.ravel().tolist()}])
        held = [[pulls.get(id, 0.0) for id in row] for row in ids.tolist()]
        return np.array(held, np.float32).reshape(ids.shape)

    # -- the index file --------------------------------------------------------------------------

    def _open(self, path: Path, model: ModelRecord, is_there: bool) -> "VectorIndex | None":
        if is_there:
            from indexes import VectorIndex  # FAISS

            with suppress(DamagedIndex):
                index = VectorIndex.open(path)
                if index.dim == index_file.dim_of(model):
                    return index
        is_long = self._catalog.embedded(model.id) > index_file.TAIL
        return self._rebuild(model) if is_long else None  # few are soon scanned without it

    def _rebuild(self, model: ModelRecord) -> "VectorIndex | None":
        """None where the catalog has to be scanned for want of leave to write."""
        from retrieval.lock import write_lock  # filelock: 40 ms, for once

        try:
            with write_lock(self._catalog.folder, is_brief=True):
                return index_file.rebuild(self._catalog, model)
        except (LibraryBusy, LibraryReadOnly):
            return None

    def _has_our_scores(
        self, model: ModelRecord, queries: NDArray[np.float32], hits: list[list[Hit]]
    ) -> bool:
        """Whether the scores are those of our vectors; in another library's file they are not."""
        found = [(query, hit) for query, row in zip(queries, hits, strict=True) for hit in row]
        found = found[:CHECKED]
        stored = self._catalog.vectors_of(model.id, [hit.image.id for _, hit in found])
        for query, hit in found:
            vector = np.frombuffer(stored.get(hit.image.id, b""), "<f2").astype(np.float32)
            cosine = float(query[: model.dim] @ vector) if len(vector) else hit.score
            if abs(cosine - hit.score) > TOLERANCE:
                return False
        return True

    def _is_short(
        self,
        model: ModelRecord,
        hits: list[list[Hit]],
        limit: int,
        allowed: NDArray[np.int64] | None,
    ) -> bool:
        """Whether there must be more than was found: the file lacks some, or read too few lists."""
        fewest = min(map(len, hits), default=limit)
        if fewest >= limit:
            return False
        there = self._catalog.embedded(model.id) if allowed is None else len(allowed)
        return fewest < min(limit, there)

    def _distrust(self, model: ModelRecord) -> None:
        """Make the file anew; where that cannot be, do without it until it is replaced."""
        path = index_file.path_of(self._catalog.folder, model.digest)
        with self._opening:
            self._index = self._rebuild(model)
            self._stamp = _stamp(path)


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is replaced."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is_all(found: Scored, wanted: int) -> bool:
    """Whether asking for more than `wanted` would not find more."""
    ids = found[1]
    return ids.shape[1] < wanted or bool((ids[:, -1] < 0).all())


def _are_best(hits: list[list[Hit]], found: Scored, limit: int) -> bool:
    """Whether what the index did not tell of, which is no better than the last of what it told,
    has no place among the hits.
    """
    lasts = found[0][:, -1]
    return all(
        len(row) == limit and row[-1].left >= last for row, last in zip(hits, lasts, strict=True)
    )


def _lacks(last_id: int, hits: list[list[Hit]], exact: list[list[Hit]]) -> bool:
    """Whether an index file that ends with `last_id` lacks what the catalog has.

    That it found fewer than there are tells nothing: others may have written meanwhile, and what a
    run that was cut short left in no file is not found by anybody.
    """
    for row, whole in zip(hits, exact, strict=True):
        found = {hit.image.id for hit in row}
        if any(hit.image.id <= last_id and hit.image.id not in found for hit in whole):
            return True
    return False


def _none(queries: int) -> Scored:
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def _merge(one: Scored, other: Scored) -> Scored:
    scores = np.concatenate([one[0], other[0]], axis=1)
    ids = np.concatenate([one[1], other[1]], axis=1)
    order = np.lexsort((ids, -scores), axis=1)
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)


def _alive(
    scores: Sequence[float],
    ids: Sequence[int],
    pulls: Sequence[float],
    share: float,
    images: dict[int, Image | None],
    limit: int,
) -> list[Hit]:
    """The first `limit` whose image is known and in some file."""
    hits = list[Hit]()
    for left, id, pull in zip(scores, ids, pulls, strict=True):
        image = images.get(int(id))
        if image is not None and image.paths:
            cosine = max(-1.0, min(1.0, float(left + share * pull)))  # float16 is rounded
            hits.append(Hit(cosine, image, float(left), float(pull)))
            if len(hits) == limit:
                break
    return hits
