"""What encodes micro-batches: the protocol of threads in this process and of another process."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.indexing.encoding import EncodedBatch, Encoder, Picture
from retrieval.vectors.hubness import QueryBank

LoadEncoder = Callable[[], Encoder]
LoadQueryBank = Callable[[], QueryBank]


class Traits(NamedTuple):
    """What is known of an encoder once it is loaded; as in `Encoder`."""

    batch_size: int
    slots: int


class EncodedRows(NamedTuple):
    """The vectors of a micro-batch, (B, D), and their hubness, (B, 2)."""

    vectors: NDArray[np.float32]
    hubness: NDArray[np.float32] | None
    precision: str  # which an encoder changes when numbers become too large for it

    @classmethod
    def by(
        cls, encoder: Encoder, query_bank: QueryBank | None, pixels: NDArray[np.uint8]
    ) -> "EncodedRows":
        """Encode pictures, (B, S, S, 3), and measure them if there is a query bank."""
        vectors = encoder.encode(pixels)
        hubness = query_bank.measure(vectors) if query_bank else None
        return cls(vectors, hubness, encoder.precision)

    def of(self, pictures: list[Picture]) -> EncodedBatch:
        """Return them as those of these pictures."""
        images, moments = [each.image for each in pictures], [each.moment for each in pictures]
        return EncodedBatch(images, self.vectors, self.hubness, self.precision, moments)


class EngineLost(Exception):
    """An engine ended, with everything that it held. It may be started again."""

    def __init__(self, number: int, reason: str) -> None:
        """number: which of the engine's starts it was."""
        super().__init__(reason)
        self.number = number
        self.reason = reason


class Engine(Protocol):
    """An encoder, which begins to load when it is started."""

    def start(self) -> None:
        """Begin to load."""

    @property
    def traits(self) -> "Future[Traits]":
        """What it is; raises what loading raised, or EngineLost."""

    def encode(self, pictures: list[Picture]) -> "Future[EncodedBatch]":
        """Encode pictures. The future raises what the encoder raises, or EngineLost."""

    def restart(self, lost: EngineLost) -> None:
        """Start again. Raises the error for the user if that has been tried."""

    def give_up(self, seconds: float) -> None:
        """End what has not answered for so long: what it has raises EngineLost. Nothing happens if
        that is impossible.
        """

    def close(self) -> None:
        """Stop what is in progress."""
