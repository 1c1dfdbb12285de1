"""What a run uses of this machine: processes that decode, encoders, and a writer.

Decoders put pixels into shared memory. On a CPU the encoder is in this process: its threads spend
nearly all of their time in products, without Python's lock, and in a process of its own it encoded
57 pictures a second in place of 75 (300 of 640×480, ViT-B/32, from a cold start, two busy cores;
much of that is the start). For any other device it has a process,
and so has the writer, since this one must do little for each picture to keep a GPU busy
(`python -m benchmarks pipeline`).
"""

import importlib
import os
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, TypeAlias

from retrieval.catalog.reading import Catalog
from retrieval.decoding.pool import TASKS_AHEAD, InProcess, Pool, WorkerPool, default_workers
from retrieval.decoding.ring.memory import Ring
from retrieval.decoding.ring.pool import RingPool, ring_of
from retrieval.decoding.task import Task, TaskResult, work
from retrieval.indexing.elsewhere.reading_pool import ReadingPool
from retrieval.indexing.encoders.queue import MAX_WAITING, queue_here, queue_on_devices
from retrieval.indexing.encoding import Encoder, Encoding, QuickStart
from retrieval.indexing.recorder import DirectWriter, Writer
from retrieval.indexing.recording.background_writer import BackgroundWriter
from retrieval.indexing.recording.remote_writer import RemoteWriter
from retrieval.vectors.hubness import QueryBank

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder

Load: TypeAlias = Callable[[], Encoder]
Encoders: TypeAlias = Load | Mapping[str, Load]  # for this process; or for each device, by its name
Parts: TypeAlias = tuple[Pool, Encoding, Writer]

DEVICE_BATCH = 512  # pictures that a device may have, and as many that wait for it
COMMIT_SECONDS = 0.05  # that a commit waits for others, so that a fast device has large ones
import_writing = partial(importlib.import_module, "retrieval.catalog.writing")  # takes 0.15 s


class Machine:
    """This machine, for one run."""

    def __init__(
        self,
        model: "ModelFolder",
        workers: int | None,
        batch_size: int | None,
        work: Callable[[Task], TaskResult] = work,
    ) -> None:
        """work: what a worker does with a task."""
        self._side = model.config.vision.image_size
        self._count = default_workers() if workers is None else workers
        self._batch_size = batch_size
        self._work = work

    def parts(
        self,
        catalog: Catalog,
        encoder: Encoders,
        query_bank: Callable[[], QueryBank] | None,
        quick: QuickStart | None,
    ) -> Parts:
        """Return the pool, the encoding and the writer. encoder, query_bank, quick: as `index`."""
        devices = 0 if callable(encoder) else len(encoder)
        batch = max(self._batch_size or 0, DEVICE_BATCH if devices else 0)
        ahead = max(TASKS_AHEAD, batch // 2 * devices)
        ring = cache(partial(self._ring, ahead + batch * max(devices, 1)))
        pool = self.pool(ahead, ring)
        how = query_bank, self._batch_size, pool.wake, quick
        if callable(encoder):
            here = queue_here(encoder, *how, idle=import_writing)
            return pool, here, BackgroundWriter(DirectWriter(catalog))
        there = queue_on_devices(encoder, *how, ring, idle=import_writing)
        return pool, there, BackgroundWriter(RemoteWriter(catalog), COMMIT_SECONDS)

    def _ring(self, ahead: int) -> Ring | None:
        """Make slots for pictures that are decoded ahead or encoded, and for those that wait for
        the encoder to load.
        """
        if os.name != "posix" or not self._count:
            return None
        return ring_of(MAX_WAITING + ahead + 2 * self._count, self._side)

    def pool(self, ahead: int, ring: Callable[[], Ring | None]) -> Pool:
        """Return what decodes. ahead: pictures that may wait decoded. ring: returns their slots."""
        if not self._count:
            return ReadingPool(InProcess())
        if os.name != "posix":  # pipes cannot be polled
            return ReadingPool(WorkerPool(self._count))
        return ReadingPool(RingPool(self._count, ring, ahead=ahead, work=self._work))
