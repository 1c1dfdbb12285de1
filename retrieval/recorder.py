"""From decoded pictures to rows: batches go through the encoder, and what comes out is committed.

A batch is encoded in shares, by as many threads as the encoder has slots, while more pictures are
decoded. No share waits for another: each is committed when it is encoded, and the next one takes
its place. So a crash costs no more than a batch, and no slot is ever long without work.
"""

import importlib
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog import Catalog
from retrieval.records import Decoded, FileState, ModelRecord, NewImage, Vectors
from retrieval.standing import Bank, bank_digest

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder

MAX_SLOTS = 256  # threads, started as they are needed
LOADING = 512  # pictures that may wait until the encoder is loaded
ROWS = 1_000  # files without a picture to encode that are committed together


class Encoder(Protocol):
    """The image tower of a model. `clipmodel.torch_backend.image_encoder.ImageEncoder` is one."""

    @property
    def precision(self) -> str:
        """Of its arithmetic, as the catalog records it: "fp32", "bf16", ..."""

    @property
    def batch_size(self) -> int:
        """How many pictures it likes to have at a time, in all slots together."""

    @property
    def slots(self) -> int:
        """How many threads may call `encode` at once, and should, to keep it busy."""

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, S, S, 3) RGB -> (B, D), unit L2 norm."""


class QuickStart(NamedTuple):
    """An encoder that is loaded at once, but slower: the better one for up to `most` pictures."""

    most: int
    encoder: Callable[[], Encoder]


class Encoded(NamedTuple):
    """What the encoder made of some pictures."""

    vectors: NDArray[np.float32]  # (B, D), unit L2 norm
    standings: NDArray[np.float32] | None  # (B, 2), to the bank
    precision: str


@dataclass(frozen=True, slots=True)
class Share:
    """Pictures at the encoder, and what it will make of them."""

    images: list[NewImage]
    encoded: Future[Encoded]


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
        quick: QuickStart | None = None,
    ) -> None:
        """`nudge` is called, in another thread, when `advance` has something to do. `bank`: what
        pictures are measured with; called once, as `encoder` is. `quick`: used until more pictures
        are expected than it is meant for.
        """
        self.encoded = 0  # pictures that were, and are committed
        self.recorded = 0  # files that were, and pictures without one
        self._catalog = catalog
        self._model = model
        self._adopted: dict[str, ModelRecord] = {}  # by the precision of an encoder
        self._load = encoder
        self._load_bank = bank
        self._quick = quick or QuickStart(0, encoder)
        self._expected = 0  # pictures
        self._chosen: Callable[[], Encoder] | None = None  # one of the two
        self._encoder: Future[Encoder] | None = None
        self._bank: Future[Bank] | None = None
        self._threads = ThreadPoolExecutor(MAX_SLOTS, "encoder")
        self._batch_size = batch_size
        self._nudge = nudge
        self._pictures: list[tuple[NewImage, Decoded]] = []  # that wait for a slot
        self._shares: list[Share] = []  # at the encoder
        self._in_flight: dict[bytes, list[FileState]] = {}  # digest -> files with that content
        self._rows: list[FileState] = []  # that need no encoding

    def knows(self, digest: bytes) -> bool:
        """Whether a content is in the catalog, or on its way there."""
        return digest in self._in_flight or self._catalog.image_of_digest(digest) is not None

    def expect(self, pictures: int = 1) -> None:
        """There will be so many more: begin to load the encoder, if they are not few."""
        self._expected += pictures
        if self._expected > self._quick.most:
            self._choose(self._load)

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
        if self._encoder is None:
            self._choose(self._quick.encoder)
        taken_at = decoded.taken_at.isoformat() if decoded.taken_at else None
        size = decoded.width, decoded.height
        hash = decoded.difference_hash
        image = NewImage(digest, *size, decoded.format, taken_at, decoded.shot, hash)
        self._in_flight[digest] = [file] if file else []
        self._pictures.append((image, decoded))
        self.advance()
        while self._may_send() and len(self._pictures) >= self._batch():
            self._wait()

    def advance(self) -> None:
        """Commit what is encoded, and give the encoder what there is for it."""
        for share in [share for share in self._shares if share.encoded.done()]:
            self._commit_share(share)
        if self._may_send():
            self._send(self._share())

    def flush(self) -> None:
        """Encode and commit all that was added."""
        while self._pictures or self._shares:
            if self._pictures:
                even = -(-len(self._pictures) // self._loaded().slots)
                self._send(min(even, self._share()))
            self._wait()
        self._commit([], None)

    def rescue(self) -> None:
        """Commit what is encoded, or being encoded; drop the rest."""
        self._pictures.clear()
        self._shares = [share for share in self._shares if not share.encoded.cancel()]
        while self._shares:
            self._wait()
        self._commit([], None)

    def dropped(self) -> list[list[FileState]]:
        """After `rescue`: the files of each content that was not encoded, the one read first."""
        return list(self._in_flight.values())

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    # -- the encoder -----------------------------------------------------------------------------

    def _choose(self, load: Callable[[], Encoder]) -> None:
        """Begin to load it, if it is not the one that is there."""
        if self._chosen is not load:
            self._chosen, self._encoder = load, self._threads.submit(load)
        if self._load_bank and self._bank is None:
            self._bank = self._threads.submit(self._load_bank)

    def _may_send(self) -> bool:
        """Whether the encoder is loaded, or has to be waited for as too many pictures are."""
        if self._encoder is None:
            return False
        most = self._batch_size or LOADING
        return self._encoder.done() or len(self._pictures) >= most

    def _loaded(self) -> Encoder:
        assert self._encoder is not None
        return self._encoder.result()

    def _batch(self) -> int:
        """Pictures that may be at the encoder at a time, and as many that may wait for it."""
        return self._batch_size or self._loaded().batch_size

    def _share(self) -> int:
        return -(-self._batch() // self._loaded().slots)

    def _send(self, size: int) -> None:
        """Shares of so many pictures, while there are, and the encoder has room for them."""
        room = self._batch() - sum(len(share.images) for share in self._shares)
        while len(self._pictures) >= size and room > 0:
            size = min(size, room)
            some, self._pictures = self._pictures[:size], self._pictures[size:]
            encoded = self._threads.submit(self._encode, [decoded.pixels for _, decoded in some])
            self._shares.append(Share([image for image, _ in some], encoded))
            encoded.add_done_callback(lambda _: self._nudge())
            room -= len(some)

    def _encode(self, pixels: list[NDArray[np.uint8]]) -> Encoded:
        encoder = self._loaded()
        vectors = encoder.encode(np.stack(pixels))  # (B, S, S, 3) -> (B, D)
        standings = self._bank.result().measure(vectors) if self._bank else None
        return Encoded(vectors, standings, encoder.precision)

    def _wait(self) -> None:
        """Until something is encoded; commit it, and send what it made room for."""
        importlib.import_module("retrieval.transactions")  # meanwhile; the first one takes 0.15 s
        wait([share.encoded for share in self._shares], return_when=FIRST_COMPLETED)
        self.advance()

    # -- the catalog -----------------------------------------------------------------------------

    def _commit_share(self, share: Share) -> None:
        encoded, standings, precision = share.encoded.result()
        digests = [image.digest for image in share.images]
        vectors = Vectors(
            self._adopt(precision).id,
            dict(zip(digests, encoded, strict=True)),
            {} if standings is None else dict(zip(digests, standings, strict=True)),
        )
        self._commit(share.images, vectors)
        self._shares.remove(share)
        self.encoded += len(digests)

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

    def _adopt(self, precision: str) -> ModelRecord:
        if precision not in self._adopted:
            from retrieval import transactions

            model, bank = self._model, bank_digest() if self._bank else None
            self._adopted[precision] = transactions.adopt_model(
                self._catalog, model.name, model.digest, model.config.embed_dim, precision, bank
            )
        return self._adopted[precision]
