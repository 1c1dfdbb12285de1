"""An encoder in this process, with a thread for each of its slots."""

import threading
from concurrent.futures import Future

from clipmodel.pools import Threads
from retrieval.decoding.ring.memory import together
from retrieval.indexing.encoders.engine import (
    EncodedRows,
    EngineLost,
    LoadEncoder,
    LoadQueryBank,
    Traits,
)
from retrieval.indexing.encoding import EncodedBatch, Encoder, Picture
from retrieval.vectors.hubness import QueryBank

MAX_SLOTS = 256  # threads, started when needed


class Once:
    """A loader that is called once, for several engines."""

    def __init__(self, load: LoadQueryBank) -> None:
        self._load = load
        self._loaded: QueryBank | None = None
        self._lock = threading.Lock()

    def __call__(self) -> QueryBank:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load()
            return self._loaded


class LocalEngine:
    """An encoder and a query bank; both are loaded in threads."""

    def __init__(self, encoder: LoadEncoder, query_bank: LoadQueryBank | None) -> None:
        self._load = encoder
        self._load_query_bank = query_bank
        self._threads = Threads(MAX_SLOTS, "encoder")
        self._encoder: Future[Encoder] | None = None
        self._query_bank: Future[QueryBank] | None = None
        self._traits: Future[Traits] = Future()

    @property
    def traits(self) -> "Future[Traits]":
        return self._traits

    def start(self) -> None:
        self._encoder = self._threads.submit(self._load)
        self._encoder.add_done_callback(self._loaded)
        if self._load_query_bank:
            self._query_bank = self._threads.submit(self._load_query_bank)

    def encode(self, pictures: list[Picture]) -> "Future[EncodedBatch]":
        return self._threads.submit(self._encode, pictures)

    def restart(self, lost: EngineLost) -> None:
        """Never called: it is lost with this process."""
        raise AssertionError(lost)

    def give_up(self, seconds: float) -> None:
        """Do nothing: a thread cannot be ended, and a processor does not hang."""

    def close(self) -> None:
        self._threads.shutdown(wait=False)

    def _loaded(self, loading: "Future[Encoder]") -> None:
        if error := loading.exception():
            self._traits.set_exception(error)
        else:
            encoder = loading.result()
            self._traits.set_result(Traits(encoder.batch_size, encoder.slots))

    def _encode(self, pictures: list[Picture]) -> EncodedBatch:
        assert self._encoder is not None
        encoder = self._encoder.result()
        vectors = encoder.encode(together([each.pixels for each in pictures]))  # -> (B, D)
        hubness = self._query_bank.result().measure(vectors) if self._query_bank else None
        return EncodedRows(vectors, hubness, encoder.precision).of(pictures)
