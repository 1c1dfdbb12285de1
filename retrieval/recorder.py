"""From decoded pictures to rows: batches go through the encoder, and what comes out is committed.

The encoder has a thread of its own, so that decoding and encoding go on at once: while a batch is
encoded, the next one waits behind it. It has its turn when the one before is committed, so that a
crash costs one batch at most; a commit takes a hundredth of the time that a CPU encodes.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog import Catalog
from retrieval.records import Decoded, FileState, ModelRecord, NewImage, Vectors
from retrieval.standing import Bank, bank_digest

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder

BEHIND = 2  # batches at the encoder: one under way, one ready
LOADING = 512  # pictures that may wait until the encoder is loaded
ROWS = 1_000  # files without a picture to encode that are committed together


class Encoder(Protocol):
    """The image tower of a model. `clipmodel.image_encoder.ImageEncoder` is one."""

    @property
    def precision(self) -> str:
        """Of its arithmetic, as the catalog records it: "fp32", "bf16", ..."""

    @property
    def batch_size(self) -> int:
        """How many pictures it likes at a time."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, S, S, 3) RGB -> (B, D), unit L2 norm."""


# (B, D), unit L2 norm; and how they stand to the bank, (B, 2).
Encoded = tuple[NDArray[np.float32], NDArray[np.float32] | None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures at the encoder, and what it will make of them."""

    images: list[NewImage]
    vectors: Future[Encoded]


class Recorder:
    """Takes files and pictures, and commits them in batches. Call `close` in the end."""

    def __init__(
        self,
        catalog: Catalog,
        model: "ModelFolder",
        encoder: Callable[[], Encoder],
        batch_size: int | None,
        nudge: Callable[[], None],
        bank: Callable[[], Bank] | None = None,
    ) -> None:
        """`nudge` is called, in another thread, when `commit_ready` has something to do. `bank`:
        what pictures are measured with; called once, as `encoder` is.
        """
        self.encoded = 0  # pictures that were, and are committed
        self.recorded = 0  # files that were, and pictures without one
        self._catalog = catalog
        self._model = model
        self._adopted: ModelRecord | None = None
        self._load = encoder
        self._load_bank = bank
        self._bank: Bank | None = None
        self._encoder: Future[Encoder] | None = None
        self._thread = ThreadPoolExecutor(1, "encoder")
        self._turn = threading.Semaphore(1)  # to encode a batch
        self._batch_size = batch_size
        self._nudge = nudge
        self._pictures: list[tuple[NewImage, Decoded]] = []  # for the next batch
        self._batches: deque[Batch] = deque()  # at the encoder
        self._in_flight: dict[bytes, list[FileState]] = {}  # digest -> files with that content
        self._rows: list[FileState] = []  # that need no encoding

    def knows(self, digest: bytes) -> bool:
        """Whether a content is in the catalog, or on its way there."""
        return digest in self._in_flight or self._catalog.image_of_digest(digest) is not None

    def expect(self) -> None:
        """There will be pictures: begin to load the encoder, which takes a second or more."""
        if self._encoder is None:
            self._encoder = self._thread.submit(self._load)

    def add_file(self, file: FileState) -> None:
        """A failure, or a file whose content is known."""
        if file.digest in self._in_flight:
            self._in_flight[file.digest].append(file)
        else:
            self._rows.append(file)
            if len(self._rows) >= ROWS:
                self._commit([], None)

    def add_picture(self, digest: bytes, decoded: Decoded, file: FileState | None) -> None:
        """A picture to encode; `file` None if only its vector is missing."""
        self.expect()
        taken_at = decoded.taken_at.isoformat() if decoded.taken_at else None
        size = decoded.width, decoded.height
        image = NewImage(digest, *size, decoded.format, taken_at, decoded.shot)
        self._in_flight[digest] = [file] if file else []
        self._pictures.append((image, decoded))
        if self._is_full():
            self._send()

    def commit_ready(self) -> None:
        """Commit the batches that are encoded: at once, as a crash would lose them."""
        while self._batches and self._batches[0].vectors.done():
            self._commit_batch()

    def flush(self) -> None:
        """Encode and commit all that was added."""
        while self._pictures:
            self._send()
        while self._batches:
            self._commit_batch()
        self._commit([], None)

    def rescue(self) -> None:
        """Commit what is encoded, or being encoded; drop the rest."""
        self._pictures.clear()
        while self._batches and not self._batches[0].vectors.cancel():
            self._commit_batch()
        self._batches.clear()
        self._commit([], None)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._turn.release()  # who waits for it would wait for ever

    def _is_full(self) -> bool:
        """Whether there is a batch to send. How large one is, the encoder knows, once loaded."""
        assert self._encoder is not None
        waits = self._batch_size is None and not self._encoder.done()
        return len(self._pictures) >= (LOADING if waits else self._size())

    def _size(self) -> int:
        assert self._encoder is not None
        return self._batch_size or self._encoder.result().batch_size

    def _send(self) -> None:
        """Put a batch behind those at the encoder; wait first if there are enough."""
        while len(self._batches) >= BEHIND:
            self._commit_batch()
        size = self._size()
        some, self._pictures = self._pictures[:size], self._pictures[size:]
        pixels = [decoded.pixels for _, decoded in some]
        vectors = self._thread.submit(self._encode, pixels)
        self._batches.append(Batch([image for image, _ in some], vectors))
        vectors.add_done_callback(lambda _: self._nudge())

    def _encode(self, pixels: list[NDArray[np.uint8]]) -> Encoded:
        assert self._encoder is not None  # and loaded, in this very thread, before
        self._turn.acquire()
        vectors = self._encoder.result().encode(np.stack(pixels))  # (B, S, S, 3) -> (B, D)
        if self._load_bank and self._bank is None:
            self._bank = self._load_bank()
        return vectors, self._bank.measure(vectors) if self._bank else None

    def _commit_batch(self) -> None:
        """Wait for the first batch, and commit it. It stays first until that is done."""
        batch = self._batches[0]
        encoded, standings = batch.vectors.result()
        digests = [image.digest for image in batch.images]
        vectors = Vectors(
            self._adopt().id,
            dict(zip(digests, encoded, strict=True)),
            {} if standings is None else dict(zip(digests, standings, strict=True)),
        )
        self._commit(batch.images, vectors)
        self._batches.popleft()
        self.encoded += len(digests)
        self._turn.release()  # last: the encoder wakes up, and a Ctrl-C may come before we do again

    def _commit(self, images: list[NewImage], vectors: Vectors | None) -> None:
        files = [file for image in images for file in self._in_flight.get(image.digest, ())]
        files += self._rows
        if not files and not images:
            return
        from retrieval import transactions  # SQLAlchemy, which a run that finds nothing new spares

        transactions.record(self._catalog, files, images, vectors)
        self.recorded += len(self._rows)
        self._rows = []
        for image in images:
            self.recorded += max(len(self._in_flight.pop(image.digest, ())), 1)

    def _adopt(self) -> ModelRecord:
        if self._adopted is None:
            from retrieval import transactions

            assert self._encoder is not None
            model, precision = self._model, self._encoder.result().precision
            dim, bank = model.config.embed_dim, bank_digest() if self._bank else None
            self._adopted = transactions.adopt_model(
                self._catalog, model.name, model.digest, dim, precision, bank
            )
        return self._adopted
