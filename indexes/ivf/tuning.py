"""Measure what a search must read, with queries that are as far from the pictures as captions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import SEED, FlatFile
from indexes.ivf.effort import LEVELS, Effort
from indexes.ivf.search import ListSearch
from indexes.recall import text_like

RECALL_FLOOR = 0.99  # of the nearest that an exact search finds
RECALL_MARGIN = 0.005  # above the floor, for queries that were not tried
QUERIES = 200
DIRECTIONS_OF = 10_000  # vectors that queries lean to
CODES_TRIED = 50  # for each vector to be found; more if that is not enough


class Trial:
    """Queries, and the vectors nearest to them among those shown so far."""

    def __init__(self, flat: FlatFile, suffix: tuple[float, ...]) -> None:
        pictures = flat.sample(DIRECTIONS_OF)[:, : flat.footer.dim - len(suffix)]
        queries = text_like(pictures, QUERIES, np.random.default_rng(SEED))
        tails = np.tile(np.array(suffix, np.float32), (len(queries), 1))
        self.queries = np.ascontiguousarray(np.hstack([queries, tails]), np.float32)  # (Q, D)
        self._scores = np.empty((QUERIES, 0), np.float32)
        self._rows = np.empty((QUERIES, 0), np.int64)

    def show(self, first: int, scores: NDArray[np.float32]) -> None:
        """Show the scores (Q, N) of the rows from `first` on."""
        is_full = self._rows.shape[1] == LEVELS[-1]
        worst = self._scores.min(axis=1, keepdims=True) if is_full else -np.inf
        hopeful = np.flatnonzero((scores > worst).any(axis=0))
        rows = np.broadcast_to(first + hopeful, (QUERIES, len(hopeful)))
        self._scores = np.hstack([self._scores, scores[:, hopeful]])
        self._rows = np.hstack([self._rows, rows])
        if self._rows.shape[1] > LEVELS[-1]:
            self._keep(np.argpartition(-self._scores, LEVELS[-1], axis=1)[:, : LEVELS[-1]])

    def nearest(self) -> NDArray[np.int64]:
        """Return the rows of the nearest vectors (Q, up to the last level), best first."""
        self._keep(np.argsort(-self._scores, axis=1, kind="stable"))
        return self._rows

    def _keep(self, columns: NDArray[np.int64]) -> None:
        self._scores = np.take_along_axis(self._scores, columns, axis=1)
        self._rows = np.take_along_axis(self._rows, columns, axis=1)


def measured(trial: Trial, flat: FlatFile, labels: NDArray[np.int64], search: ListSearch) -> Effort:
    """Return the effort that finds, at each level, what it must of the trial's nearest vectors.

    labels: the list of each row. Half of what may be missed is in lists that are not read.
    """
    nearest, order = trial.nearest(), search.lists_by_nearness(trial.queries)  # (Q, k), (Q, lists)
    place = np.argsort(order, axis=1)  # (Q, lists): when each list is read
    needed = 1 + np.take_along_axis(place, labels[nearest], axis=1)  # (Q, k)
    lists, codes = list[int](), list[int]()
    for level in LEVELS:
        some = needed[:, :level]
        lists.append(quantile(some))
        wanted = [
            ids[is_read]
            for ids, is_read in zip(flat.ids[nearest[:, :level]], some <= lists[-1], strict=True)
        ]
        codes.append(fewest_codes(trial.queries, wanted, search, lists[-1]))
    return Effort(tuple(lists), tuple(codes))


def quantile(needed: NDArray[np.int64]) -> int:
    """Return what is enough to find all but half of what may be missed."""
    enough = (1 + RECALL_FLOOR + RECALL_MARGIN) / 2
    return int(np.quantile(needed, enough, method="higher"))


def fewest_codes(
    queries: NDArray[np.float32],
    wanted: Sequence[NDArray[np.int64]],
    search: ListSearch,
    lists: int,
) -> int:
    """Return how many of the best codes must be compared to find the ids wanted of each query."""
    codes = max(map(len, wanted)) * CODES_TRIED
    while True:
        ranks = [
            ranks_of(ids, search, query[np.newaxis], lists, codes)
            for ids, query in zip(wanted, queries, strict=True)
        ]
        needed = quantile(np.concatenate(ranks))
        if needed <= codes:
            return needed
        codes *= 4


def ranks_of(
    wanted: NDArray[np.int64],
    search: ListSearch,
    query: NDArray[np.float32],
    lists: int,
    codes: int,
) -> NDArray[np.int64]:
    """Return the ranks of these ids among the best codes; if they are not there, one below them."""
    scores, ids = search.candidates(query, lists, codes)
    by_rank = ids[0][np.argsort(-scores[0], kind="stable")]
    by_rank = by_rank[by_rank >= 0]
    order = np.argsort(by_rank, kind="stable")
    places = order[np.searchsorted(by_rank, wanted, sorter=order).clip(max=len(order) - 1)]
    is_found = by_rank[places] == wanted
    return 1 + np.where(is_found, places, search.count)
