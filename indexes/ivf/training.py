"""Rotation, centroids and codebook from a sample, and the list and code of each vector.

Distances to centroids are compared in the few directions in which vectors vary most, which takes a
tenth of the time: a vector that is near two centroids may as well be in the list of either.
"""

from typing import TypeVar

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import FlatFile
from indexes.ivf.kmeans import Centroids, clustered, means
from indexes.ivf.rotation import PIECE, Rotated, balanced, directions_of
from indexes.threads import one_thread_for_one_query

SAMPLE_PER_LIST = 50  # vectors that a centroid is trained on
DIRECTIONS = 32  # with 64, a search reads as many lists
DIRECTIONS_SAMPLE = 20_000  # vectors
CODEBOOK_SAMPLE = 10_000  # vectors; 16 code words need no more
CODE_BITS = 4  # what FAISS's fast scan reads

T = TypeVar("T", NDArray[np.float32], NDArray[np.int64])


class Lists:
    """The centroids of lists, and the codebook of what is left of a vector beside its centroid."""

    def __init__(self, rotated: Rotated, directions: NDArray[np.float32]) -> None:
        self.rotated = rotated  # without vectors
        self.centroids = rotated.index.quantizer.reconstruct_n(0, rotated.index.nlist)  # (lists, R)
        self._directions = directions  # (d, R), orthonormal
        self._seen = Centroids(self.centroids @ directions.T)  # (lists, d)

    @classmethod
    def trained(cls, flat: FlatFile, lists: int) -> "Lists":
        """Train on a sample of the vectors."""
        sample = flat.sample(lists * SAMPLE_PER_LIST)
        directions = principal(sample, DIRECTIONS)
        seen, labels = clustered(sample @ directions.T, lists)  # (lists, d), (N,)
        centroids = means(sample, labels, seen @ directions)  # (lists, D)
        some, of = evenly(sample, CODEBOOK_SAMPLE), evenly(labels, CODEBOOK_SAMPLE)
        rests: NDArray[np.float32] = some - centroids[of]
        rotation = balanced(rests)  # (R, D)
        index = trained_index(centroids @ rotation.T, rests @ rotation.T)
        return cls(Rotated(index, rotation), directions @ rotation.T)

    @classmethod
    def of(cls, rotated: Rotated) -> "Lists":
        """Return the lists of an index that was written earlier."""
        index = rotated.index
        return cls(rotated, principal(index.quantizer.reconstruct_n(0, index.nlist), DIRECTIONS))

    def assign(self, rotated: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the list of each of these vectors (N, R), that of the nearest centroid: (N,)."""
        return self._seen.nearest(rotated @ self._directions.T)  # (N, R) @ (R, d)

    def encode(self, rotated: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the codes (N, code size) of vectors (N, R) in the lists `labels` (N,)."""
        rests = rotated - self.centroids[labels]
        with one_thread_for_one_query(1):
            codes: NDArray[np.uint8] = self.rotated.index.pq.compute_codes(rests)
        return codes


def principal(sample: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return the orthonormal directions (d, D) in which vectors (N, D) vary most."""
    some = evenly(sample, DIRECTIONS_SAMPLE)
    return directions_of(some - some.mean(axis=0))[1][:count]


def evenly(sample: T, count: int) -> T:
    """Return about `count` of these rows, from anywhere among them."""
    return sample[:: max(len(sample) // count, 1)]


def trained_index(
    centroids: NDArray[np.float32], rests: NDArray[np.float32]
) -> faiss.IndexIVFPQFastScan:
    """Return an index without vectors, with these centroids (lists, R) and a codebook.

    rests: what is left of vectors beside their centroids, (N, R); the codebook fits these.
    """
    lists, dim = centroids.shape
    quantizer = faiss.IndexFlatIP(dim)
    quantizer.add(centroids)
    shape = dim, lists, dim // PIECE, CODE_BITS
    index = faiss.IndexIVFPQFastScan(quantizer, *shape, faiss.METRIC_INNER_PRODUCT)
    index.by_residual, index.pq.cp.min_points_per_centroid = True, 1
    with one_thread_for_one_query(1):  # FAISS's threads wait for each other after each piece
        index.pq.train(rests)
    index.is_trained = True
    return index
