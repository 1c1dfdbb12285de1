"""Pictures that come back encoded from a cluster, in batches for the recorder."""

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.indexing.cluster.pool import ClusterPool, EncodedPicture
from retrieval.indexing.encoding import EncodedBatch
from retrieval.records import NewImage

PICTURES_PER_COMMIT = 256
COMMIT_SECONDS = 2.0  # that a picture waits, at most, while others come


class Waiting(NamedTuple):
    """A moment of an image that waits for its commit."""

    image: NewImage
    moment: int
    encoded: EncodedPicture


class ClusterEncoding:
    """Takes the pictures that a cluster decoded and encoded, and yields them in batches."""

    def __init__(self, pool: ClusterPool) -> None:
        self._pool = pool
        self._since = time.monotonic()
        self._waiting: dict[str, list[Waiting]] = defaultdict(list)

    def expect(self, pictures: int = 1) -> None:
        """Do nothing: the nodes load the model when they start."""

    def add(self, image: NewImage, pixels: NDArray[np.uint8], moment: int = 0) -> None:
        """Take a moment of the image that the pool returned last; its pixels stayed on the node."""
        encoded = self._pool.encoded[image.digest][moment]
        self._waiting[encoded.precision].append(Waiting(image, moment, encoded))

    def ready(self) -> Iterator[EncodedBatch]:
        """Yield what fills a commit, or has waited for long."""
        now = time.monotonic()
        is_full = sum(map(len, self._waiting.values())) >= PICTURES_PER_COMMIT
        if is_full or now - self._since > COMMIT_SECONDS:
            self._since = now
            yield from self.drain()

    def drain(self) -> Iterator[EncodedBatch]:
        """Yield everything that was added, a batch for each precision."""
        while self._waiting:
            precision, pictures = self._waiting.popitem()
            encoded = [each.encoded for each in pictures]
            hubness = [each.hubness for each in encoded if each.hubness is not None]
            yield EncodedBatch(
                [each.image for each in pictures],
                np.stack([each.vector for each in encoded]),
                np.stack(hubness) if hubness else None,
                precision,
                [each.moment for each in pictures],
            )

    def rescue(self) -> Iterator[EncodedBatch]:
        """Yield everything that was added: it is encoded."""
        return self.drain()

    def close(self) -> None:
        """Do nothing: the pool has the workers."""
