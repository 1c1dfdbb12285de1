"""Exact search over vectors in memory, such as those that no index file holds yet."""

import numpy as np
from numpy.typing import NDArray

MAX_SCORES = 1 << 24  # computed at a time: some 0.3 GB, whatever the number of queries

Vectors = NDArray[np.float16] | NDArray[np.float32]


def exact_search(
    queries: NDArray[np.float32], ids: NDArray[np.int64], vectors: Vectors, limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the nearest `limit` of `vectors` (N, D) to each of `queries` (Q, D) by inner product.

    Returns scores and ids (Q, min(limit, N)), best first; equal scores are ordered by id.
    """
    rows = max(MAX_SCORES // max(len(ids), 1), 1)  # queries at a time
    if len(queries) > rows:
        parts = [queries[start : start + rows] for start in range(0, len(queries), rows)]
        found = [exact_search(part, ids, vectors, limit) for part in parts]
        return np.concatenate([s for s, _ in found]), np.concatenate([i for _, i in found])
    scores = queries @ vectors.astype(np.float32, copy=False).T  # (Q, D) @ (D, N) -> (Q, N)
    return best(scores, np.broadcast_to(ids, scores.shape), limit)


def best(
    scores: NDArray[np.float32], ids: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the best `limit` columns of each row (Q, N), by falling score, then by rising id."""
    order = np.lexsort((ids, -scores), axis=1)[:, : max(limit, 0)]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
