"""The protocol of a vector store.

A store is built from the catalog and may be deleted at any time. `refresh` finds by itself what the
catalog gained or lost since: nobody reports changes to a store, so no report can be missed.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.selection import Selection


class Nearest(NamedTuple):
    """The best vectors of a store, best first; ties by id. An image may have several."""

    scores: NDArray[np.float32]  # (Q, k), cosine minus weighted hubness
    ids: NDArray[np.int64]  # (Q, k), of vectors (vector_ids.py); -1: none
    unverified: int = 0  # vectors of images up to this one did not come from the catalog


class VectorStore(Protocol):
    """The vectors of one model in one library, by image and moment. Safe to use from threads."""

    @property
    def is_exact(self) -> bool:
        """Return whether a search compares every vector, so that it misses none."""

    def prepare(self) -> None:
        """Start to read the store into memory, while a query is encoded."""

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
    ) -> Nearest:
        """Return the `limit` nearest to each query (Q, D), among those of the images `allowed` or
        all.

        weights (Q,): factors of the hubness that is subtracted from each cosine; zeros rank by
        cosine. Each store can do this in its own way: the file has hubness in columns after each
        vector; a store that only knows cosines can ask for more and rank them again by the
        catalog's hubness (`embeddings.hubness`). Fewer than `limit` mean that there are no more.
        """

    def count(self, allowed: Selection, most: int) -> int:
        """Count the images that a search among `allowed` compares, but stop at `most`."""

    def refresh(self) -> None:
        """Add vectors that the catalog gained, and drop those that it lost."""

    def distrust(self) -> None:
        """Build the store again, because it disagrees with the catalog."""

    def close(self) -> None:
        """Release what the store holds open. It may be used again."""
