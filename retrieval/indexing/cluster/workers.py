"""What runs on the nodes: decoders and encoders. Ray makes actors of these classes.

A decoder has the same worker processes as a local run, so a file that crashes its decoder is a
failure here too, and never ends an actor.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clipmodel.pools import Threads
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task, TaskResult
from retrieval.indexing.elsewhere.reading_pool import READS, attempted, with_bytes
from retrieval.indexing.encoders.queue import EncodingQueue, queue_here
from retrieval.indexing.encoding import Encoder
from retrieval.records import Decoded, NewImage
from retrieval.vectors.hubness import QueryBank

ELSEWHERE = np.empty((0, 0, 3), np.uint8)  # in place of pixels that stayed on their node

Pixels = NDArray[np.uint8]


class EncodedChunk(NamedTuple):
    """The vectors of a chunk's pictures and all their moments, in their order."""

    vectors: NDArray[np.float32]  # (N, D), unit L2 norm
    hubness: NDArray[np.float32] | None  # (N, 2)
    precision: str


class Decoder:
    """Reads and decodes chunks of files."""

    def __init__(self, processes: int) -> None:
        self._pool = WorkerPool(processes)
        self._readers = Threads(READS, "reader")  # of what no disk has: they wait for a network

    def start(self) -> None:
        """Return once this actor runs."""

    def read(self, tasks: Sequence[Task]) -> tuple[list[TaskResult], Pixels]:
        """Do these tasks. Return their results, and apart from them the pixels of all their
        moments, (N, S, S, 3).
        """
        results = [future.result() for future in [self._begun(task) for task in tasks]]
        pixels = [each for result in results if result.decoded for each in _pixels(result.decoded)]
        return [_without_pixels(each) for each in results], np.stack(pixels or [ELSEWHERE])

    def _begun(self, task: Task) -> "Future[TaskResult]":
        if task.data is None and task.entry.is_remote:
            return self._readers.submit(self._read_and_decoded, task)
        return self._pool.do(task)

    def _read_and_decoded(self, task: Task) -> TaskResult:
        found = attempted(task, with_bytes)
        return found if isinstance(found, TaskResult) else self._pool.do(found).result()


def _pixels(decoded: Decoded) -> list[Pixels]:
    """Return the pixels of each moment."""
    return [frame.pixels for frame in decoded.frames] or [decoded.pixels]


def _without_pixels(result: TaskResult) -> TaskResult:
    if result.decoded is None:
        return result
    frames = tuple(frame._replace(pixels=ELSEWHERE) for frame in result.decoded.frames)
    return replace(result, decoded=replace(result.decoded, pixels=ELSEWHERE, frames=frames))


class RemoteEncoder:
    """Encodes the pixels of chunks."""

    def __init__(
        self,
        encoder: Callable[[], Encoder],
        query_bank: Callable[[], QueryBank] | None,
        batch_size: int | None,
        threads: int | None,
    ) -> None:
        """threads: of the encoder, if it runs on this node's cores."""
        if threads:  # before torch: Ray allows a thread for each core that the actor was given
            os.environ["OMP_NUM_THREADS"] = str(threads)
        self._load, self._load_query_bank = encoder, query_bank
        self._batch_size = batch_size
        self._queue: EncodingQueue | None = None

    def start(self) -> None:
        """Load the model. Raises what the loaders raise."""
        encoder = self._load()
        query_bank = self._load_query_bank() if self._load_query_bank else None
        bank = (lambda: query_bank) if query_bank else None
        self._queue = queue_here(lambda: encoder, bank, self._batch_size)

    def encode(self, pixels: Pixels) -> EncodedChunk | None:
        """Encode pictures, (N, S, S, 3). Return None if there are none."""
        assert self._queue is not None
        if not pixels.size:
            return None
        for number, each in enumerate(pixels):
            self._queue.add(_numbered(number), each)
        batches = [batch for batch in self._queue.drain() if batch]
        order = np.argsort([int.from_bytes(i.digest) for batch in batches for i in batch.images])
        vectors = np.concatenate([batch.vectors for batch in batches])[order]
        measured = [batch.hubness for batch in batches if batch.hubness is not None]
        hubness = np.concatenate(measured)[order] if measured else None
        # It changes when numbers become too large for it; the coarser one counts.
        precision = next((b.precision for b in batches if b.precision != "fp32"), "fp32")
        return EncodedChunk(vectors, hubness, precision)


def _numbered(number: int) -> NewImage:
    """Return an image that stands for a row of a chunk."""
    return NewImage(number.to_bytes(4), 0, 0, "", None)
