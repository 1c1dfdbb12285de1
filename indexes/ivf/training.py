"""Centroids and codebook from a sample of the vectors, and the list and code of each vector.

Distances to centroids are compared in the few directions in which vectors vary most, which takes a
tenth of the time: a vector that is near two centroids may as well be in the list of either.
"""

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import FlatFile
from indexes.ivf.kmeans import Centroids, clustered, means
from indexes.threads import one_thread_for_one_query

SAMPLE_PER_LIST = 50  # vectors that a centroid is trained on
DIRECTIONS = 32  # with 64, a search reads as many lists
DIRECTIONS_SAMPLE = 20_000  # vectors
CODEBOOK_SAMPLE = 10_000  # vectors; 16 code words need no more
CODE_BITS = 4  # what FAISS's fast scan reads


class Lists:
    """The centroids of lists, and the codebook of what is left of a vector beside its centroid."""

    def __init__(self, index: faiss.IndexIVFPQFastScan, directions: NDArray[np.float32]) -> None:
        self.index = index  # without vectors
        self.centroids = index.quantizer.reconstruct_n(0, index.nlist)  # (lists, D)
        self._directions = directions  # (d, D), orthonormal
        self._seen = Centroids(self.centroids @ directions.T)  # (lists, d)

    @classmethod
    def trained(cls, flat: FlatFile, lists: int) -> "Lists":
        """Train on a sample of the vectors."""
        sample = flat.sample(lists * SAMPLE_PER_LIST)
        directions = principal(sample, DIRECTIONS)
        seen, labels = clustered(sample @ directions.T, lists)  # (lists, d), (N,)
        centroids = means(sample, labels, seen @ directions)
        return cls(trained_index(centroids, sample, labels), directions)

    @classmethod
    def of(cls, index: faiss.IndexIVFPQFastScan) -> "Lists":
        """Return the lists of an index that was written earlier."""
        return cls(index, principal(index.quantizer.reconstruct_n(0, index.nlist), DIRECTIONS))

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the list of each of `vectors` (N, D), that of the nearest centroid: (N,)."""
        return self._seen.nearest(vectors @ self._directions.T)  # (N, D) @ (D, d)

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
