"""The ranks of right results among all candidates, streamed a page of candidates at a time.

Equal scores are ranked by id, as searches do, so that a model that gives the same score to
everything is not taken for a perfect one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.search.relevance import EVIDENCE_HITS

QUERIES_AT_ONCE = 256


class Page(NamedTuple):
    """Some candidates, with ids that ascend from page to page."""

    ids: NDArray[np.int64]  # (n,)
    vectors: NDArray[np.float32]  # (n, D), unit L2 norm
    hubness: NDArray[np.float32]  # (n,), already weighted: subtracted from each cosine


Pages = Callable[[], Iterator[Page]]  # may be gone through several times


class Placed(NamedTuple):
    """A candidate among the first results of a query."""

    score: float  # cosine less weighted hubness
    hubness: float  # that was subtracted
    id: int


class Ranked(NamedTuple):
    """The result of a pass over all candidates."""

    ranks: list[NDArray[np.int64]]  # for each query those of its right results, ascending, >= 1
    best: list[list[Placed]]  # the first results of each query, EVIDENCE_HITS beside the right ones


def ranked(
    queries: NDArray[np.float32], right: Sequence[NDArray[np.int64]], pages: Pages
) -> Ranked:
    """Rank the candidates for each query (Q, D). right: the ids of each one's right results.

    The candidates are read twice: for the scores of the right ones, then to count those ahead.
    """
    scores = _scores_of(queries, right, pages)
    ahead = [np.zeros(len(ids), np.int64) for ids in right]
    best: list[list[Placed]] = [[] for _ in right]
    kept = EVIDENCE_HITS + max((len(ids) for ids in right), default=0)
    for page in pages():
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            rows = slice(start, start + QUERIES_AT_ONCE)
            found = queries[rows] @ page.vectors.T - page.hubness  # (q, n)
            for query, row in enumerate(found, start):
                for i, (id, score) in enumerate(zip(right[query], scores[query], strict=True)):
                    before = np.count_nonzero(row > score)
                    same = np.count_nonzero((row == score) & (page.ids < id))
                    ahead[query][i] += before + same
                best[query] = _merged(best[query], row, page, kept)
    return Ranked([np.sort(each) + 1 for each in ahead], best)


def _scores_of(
    queries: NDArray[np.float32],
    right: Sequence[NDArray[np.int64]],
    pages: Pages,
) -> list[NDArray[np.float32]]:
    """Return the score of each right result, computed by the same product as all others."""
    scores = [np.full(len(ids), -np.inf, np.float32) for ids in right]
    wanted = np.unique(np.concatenate([*right, np.empty(0, np.int64)]))
    for page in pages():
        if not np.isin(page.ids, wanted).any():
            continue
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            rows = slice(start, start + QUERIES_AT_ONCE)
            found = queries[rows] @ page.vectors.T - page.hubness
            for query, row in enumerate(found, start):
                at = np.searchsorted(page.ids, right[query])
                for i, place in enumerate(at):
                    if place < len(page.ids) and page.ids[place] == right[query][i]:
                        scores[query][i] = row[place]
    return scores


def _merged(best: list[Placed], row: NDArray[np.float32], page: Page, kept: int) -> list[Placed]:
    most = min(kept, len(row))
    at = np.argpartition(-row, most - 1)[:most]
    here = map(Placed, row[at].tolist(), page.hubness[at].tolist(), page.ids[at].tolist())
    return sorted([*best, *here], key=lambda hit: (-hit.score, hit.id))[:kept]
