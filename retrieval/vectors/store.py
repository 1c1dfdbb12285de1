"""What a search asks of vectors, wherever they lie.

A store is made from the catalog and may be deleted at any time. What the catalog gained or lost
since is the store's own to take in, by `refresh`: nobody tells it, so nothing can be forgotten.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Nearest(NamedTuple):
    """The best of what a store holds, best first; equal scores in the order of their ids."""

    scores: NDArray[np.float32]  # (Q, k), cosines less what the query's weight of hubness takes off
    ids: NDArray[np.int64]  # (Q, k); -1 stands for none
    unverified: int = 0  # ids up to this one did not come from the catalog


class VectorStore(Protocol):
    """The vectors of one model in one library, by the ids of images. Safe to use from threads."""

    @property
    def is_exact(self) -> bool:
        """Whether a search compares every vector, so that what it does not find is not there."""

    def prepare(self) -> None:
        """Begin to bring it into memory; a query can be encoded meanwhile."""

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64] | None,
        weights: NDArray[np.float32],
    ) -> Nearest:
        """Return the `limit` nearest to each query (Q, D), among the sorted ids `allowed` or all.

        weights (Q,): how much of each image's hubness is taken off its cosines; zeros rank by the
        cosines. How is the store's own affair: the file has it as columns behind each vector, and
        one that ranks by cosines alone can ask for more and rank them again by what the catalog
        knows (`embeddings.hubness`). Fewer than `limit` come back only where there are no more.
        """

    def refresh(self) -> None:
        """Take in what the catalog gained, and drop what it lost."""

    def distrust(self) -> None:
        """Make it anew, since it does not hold what the catalog holds."""
