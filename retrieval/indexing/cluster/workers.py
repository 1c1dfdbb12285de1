"""What runs on the nodes: decoders and encoders. Ray makes actors of these classes.

A decoder has the same worker processes as a local run, so a file that crashes its decoder is a
failure here too, and never ends an actor.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipmodel.pools import Threads
from retrieval.decoding import malloc
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.ring import messages
from retrieval.decoding.task import Task, TaskResult
from retrieval.indexing.elsewhere.reading_pool import READS, attempted, with_bytes
from retrieval.indexing.encoders.engine import EncodedRows
from retrieval.indexing.encoding import Encoder
from retrieval.vectors.hubness import QueryBank

ELSEWHERE = np.empty((0, 0, 3), np.uint8)  # in place of pixels that stayed on their node

Pixels = NDArray[np.uint8]


class Decoder:
    """Reads and decodes chunks of files."""

    def __init__(self, processes: int) -> None:
        self._pool = WorkerPool(processes)
        self._readers = Threads(READS, "reader")  # of what no disk has: they wait for a network

    def start(self) -> None:
        """Return once this actor runs."""

    def read(self, tasks: Sequence[Task]) -> tuple[list[list[Any]], Pixels]:
        """Do these tasks. Return their results, `packed`, and apart from them the pixels of all
        their moments, (N, S, S, 3).
        """
        pixels: list[Pixels] = []

        def store(each: Pixels) -> int:
            pixels.append(each)
            return len(pixels) - 1

        begun = [self._begun(task) for task in tasks]
        results = [messages.packed(future.result(), store) for future in begun]
        return results, np.stack(pixels or [ELSEWHERE])

    def _begun(self, task: Task) -> "Future[TaskResult]":
        if task.data is None and task.entry.is_remote:
            return self._readers.submit(self._read_and_decoded, task)
        return self._pool.do(task)

    def _read_and_decoded(self, task: Task) -> TaskResult:
        found = attempted(task, with_bytes)
        return found if isinstance(found, TaskResult) else self._pool.do(found).result()


def without_pixels(values: list[Any]) -> TaskResult:
    """Return the result that was packed, whose pixels stayed on their node."""
    return messages.unpacked(values, lambda _: ELSEWHERE)


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
        self._encoder: Encoder | None = None
        self._query_bank: QueryBank | None = None

    def start(self) -> None:
        """Load the model. Raises what the loaders raise."""
        malloc.keep_for_a_run()
        self._encoder = self._load()
        self._query_bank = self._load_query_bank() if self._load_query_bank else None
        self._lanes = Threads(self._encoder.slots, "encoder")

    def encode(self, pixels: Pixels) -> EncodedRows | None:
        """Encode pictures, (N, S, S, 3). Return None if there are none. Two calls at once share the
        lanes, so that none is idle at a chunk's end.
        """
        assert self._encoder is not None
        if not pixels.size:
            return None
        size = -(-(self._batch_size or self._encoder.batch_size) // self._encoder.slots)
        size = min(size, -(-len(pixels) // self._encoder.slots))
        parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        rows = [future.result() for future in [self._lanes.submit(self._rows, p) for p in parts]]
        measured = [each.hubness for each in rows if each.hubness is not None]
        hubness = np.concatenate(measured) if measured else None
        vectors = np.concatenate([each.vectors for each in rows])
        # It changes when numbers become too large for it; the coarser one counts.
        precision = next((each.precision for each in rows if each.precision != "fp32"), "fp32")
        return EncodedRows(vectors, hubness, precision)

    def _rows(self, pixels: Pixels) -> EncodedRows:
        assert self._encoder is not None
        return EncodedRows.by(self._encoder, self._query_bank, pixels)
