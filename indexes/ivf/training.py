"""Centroids and codebook from a sample of the vectors, and the list and code of each vector.

Distances to centroids are compared in the few directions in which vectors vary most, which takes a
tenth of the time: a vector that is near two centroids may as well be in the list of either.
"""

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import SEED, FlatFile
from indexes.threads import one_thread_for_one_query

SAMPLE_PER_LIST = 50  # vectors that a centroid is trained on; FAISS warns below 39
KMEANS_ITERATIONS = 10
DIRECTIONS = 32  # with 64, a search reads as many lists
DIRECTIONS_SAMPLE = 20_000  # vectors
COMPARED_ROWS = 1_024  # at a time, so that the products stay in the processor's cache
CODEBOOK_SAMPLE = 10_000  # vectors; 16 code words need no more
CODE_BITS = 4  # what FAISS's fast scan reads


class Lists:
    """The centroids of lists, and the codebook of what is left of a vector beside its centroid."""

    def __init__(self, index: faiss.IndexIVFPQFastScan, directions: NDArray[np.float32]) -> None:
        self.index = index  # without vectors
        self._directions = directions  # (d, D), orthonormal
        self.centroids = index.quantizer.reconstruct_n(0, index.nlist)  # (lists, D)
        seen = self.centroids @ directions.T  # (lists, d)
        # Squared distances fall as products with a vector, and 1 in the last row, rise.
        halves = (seen**2).sum(axis=1, keepdims=True) / 2
        self._compared = np.ascontiguousarray(np.hstack([seen, -halves]).T)  # (d + 1, lists)

    @classmethod
    def trained(cls, flat: FlatFile, lists: int) -> "Lists":
        """Train on a sample of the vectors."""
        sample = flat.sample(lists * SAMPLE_PER_LIST)
        directions = principal(sample, DIRECTIONS)
        seen = sample @ directions.T  # (N, D) @ (D, d)
        clustering = faiss.Clustering(seen.shape[1], lists)
        clustering.niter, clustering.seed = KMEANS_ITERATIONS, SEED
        clustering.min_points_per_centroid = 1  # no warning on stdout about a small sample
        clustering.train(seen, nearest := faiss.IndexFlatL2(seen.shape[1]))
        labels = nearest.search(seen, 1)[1][:, 0]
        centroids = means(sample, labels, nearest.reconstruct_n(0, lists) @ directions)
        return cls(trained_index(centroids, sample, labels), directions)

    @classmethod
    def of(cls, index: faiss.IndexIVFPQFastScan) -> "Lists":
        """Return the lists of an index that was written earlier."""
        return cls(index, principal(index.quantizer.reconstruct_n(0, index.nlist), DIRECTIONS))

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the list of each of `vectors` (N, D), that of the nearest centroid: (N,)."""
        labels = np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), COMPARED_ROWS):
            part = vectors[start : start + COMPARED_ROWS]
            seen = np.ones((len(part), len(self._compared)), np.float32)
            seen[:, :-1] = part @ self._directions.T  # (N, D) @ (D, d)
            labels[start : start + COMPARED_ROWS] = (seen @ self._compared).argmax(axis=1)
        return labels

    def encode(self, vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the codes (N, code size) of vectors (N, D) in the lists `labels` (N,)."""
        with one_thread_for_one_query(1):
            codes: NDArray[np.uint8] = self.index.pq.compute_codes(vectors - self.centroids[labels])
        return codes


def principal(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the orthonormal directions (d, D) in which vectors (N, D) vary most."""
    some = evenly(sample, DIRECTIONS_SAMPLE)
    centred = some - some.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)  # rising
    return np.ascontiguousarray(vectors[:, : -count - 1 : -1].T)


def means(
    sample: NDArray[np.float32], labels: NDArray[np.int64], without: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the mean vector of each label; if it has none, that of `without` (lists, D)."""
    order = np.argsort(labels, kind="stable")
    held, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    centroids = np.array(without, np.float32)
    for column in range(sample.shape[1]):  # one at a time, as the sample is large
        sums = np.add.reduceat(sample[order, column], starts)
        centroids[held, column] = sums / sizes
    return centroids


def evenly(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return about `count` of these vectors, from anywhere among them."""
    return sample[:: max(len(sample) // count, 1)]


def trained_index(
    centroids: NDArray[np.float32], sample: NDArray[np.float32], labels: NDArray[np.int64]
) -> faiss.IndexIVFPQFastScan:
    """Return an index without vectors, with these centroids and a codebook that fits the sample."""
    lists, dim = centroids.shape
    quantizer = faiss.IndexFlatIP(dim)
    quantizer.add(centroids)
    pieces = dim // 2 if dim % 2 == 0 else dim
    shape = dim, lists, pieces, CODE_BITS
    index = faiss.IndexIVFPQFastScan(quantizer, *shape, faiss.METRIC_INNER_PRODUCT)
    index.by_residual, index.pq.cp.min_points_per_centroid = True, 1
    some, of = evenly(sample, CODEBOOK_SAMPLE), labels[:: max(len(sample) // CODEBOOK_SAMPLE, 1)]
    with one_thread_for_one_query(1):  # FAISS's threads wait for each other after each piece
        index.pq.train(some - centroids[of])
    index.is_trained = True
    return index
