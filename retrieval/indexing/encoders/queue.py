"""A queue of pictures for the encoders, which work on micro-batches beside the run.

Micro-batches do not wait for each other: each is yielded once it is encoded, and the next takes its
slot. So no slot is idle for long, and a crash loses at most one batch. What an engine held when it
ended is queued again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.decoding.ring.memory import Ring, slot_of
from retrieval.indexing.encoders.device import DeviceEngine
from retrieval.indexing.encoders.engine import (
    Engine,
    EngineLost,
    LoadEncoder,
    LoadQueryBank,
    Traits,
)
from retrieval.indexing.encoders.local import LocalEngine, Once
from retrieval.indexing.encoding import EncodedBatch, Picture, QuickStart
from retrieval.records import NewImage

MAX_WAITING = 512  # pictures that wait for the encoder to load
# By the clock, as a driver that hangs uses no processor time. The slowest cases stay below it: 16
# pictures of a bigG on one slow core (0.95 TFLOP each), 256 of them on a GPU of 1 TFLOPS, ten
# gigabytes of weights on a network drive. Giving up too late costs time, too early the whole run.
PATIENCE_SECONDS = 1_800.0  # for an engine to answer before it counts as lost
RESCUE_SECONDS = 20.0  # the same after an interruption
TICK_SECONDS = 1.0  # between two reports while a run waits


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Pictures that are being encoded, and the result to come."""

    pictures: list[Picture]
    engine: Engine
    result: Future[EncodedBatch]


@dataclass(slots=True)
class Lane:
    """An engine that may be sent micro-batches."""

    engine: Engine
    size: int  # pictures in one
    room: int  # pictures that it may have beside those that it has


class EncodingQueue:
    """Takes pictures and yields them encoded, in any order. Call `close` at the end."""

    def __init__(
        self,
        engines: Sequence[Engine],
        batch_size: int | None,
        wake: Callable[[], None],
        *,
        quick: Engine | None = None,
        most_quick: int = 0,
        idle: Callable[[], object] = lambda: None,
    ) -> None:
        """Prepare a queue; nothing is loaded until pictures are expected.

        batch_size: pictures that an engine has at a time, in place of its own choice. wake: called
        in another thread when `ready` has something to yield. quick: used until more than
        `most_quick` pictures are expected. idle: called before each wait for an engine.
        """
        self._best = list(engines)
        self._quick = [quick] if quick else self._best
        self._most_quick = most_quick
        self._batch_size = batch_size
        self._wake = wake
        self._idle = idle
        self._expected = 0  # pictures
        self._engines: list[Engine] = []  # those in use
        self._started: list[Engine] = []
        self._waiting: list[Picture] = []  # without a slot yet
        self._enough = 1  # of them, for something to be sent
        self._has_news = False  # something is encoded, or an engine is loaded
        self._under_way: list[MicroBatch] = []

    def expect(self, pictures: int = 1) -> None:
        """Announce pictures; start the best engines once they are too many for the quick one."""
        self._expected += pictures
        if self._expected > self._most_quick:
            self._use(self._best)

    def add(self, image: NewImage, pixels: NDArray[np.uint8], moment: int = 0) -> None:
        """Put a picture, (S, S, 3) RGB, into the queue: a moment of an image."""
        if not self._engines:
            self._use(self._quick)
        self._waiting.append(Picture(image, moment, pixels))

    def ready(self) -> Iterator[EncodedBatch | None]:
        """Yield what is encoded; wait only while too many pictures are queued. Yields None now and
        then while it waits.
        """
        if not self._has_news and len(self._waiting) < self._enough:
            return  # it is called for each picture
        yield from self._finished()
        while self._is_full():
            yield from self._wait()
            yield from self._finished()

    def drain(self) -> Iterator[EncodedBatch | None]:
        """Encode and yield everything that was added. Yields None now and then while it waits."""
        while self._waiting or self._under_way:
            if self._waiting and (lanes := sum(traits.slots for _, traits in self._loaded())):
                self._send(-(-len(self._waiting) // lanes))
            yield from self._wait()
            yield from self._finished()

    def rescue(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded or being encoded; drop the rest. Waits RESCUE_SECONDS for devices,
        and for threads of this process until they are done.
        """
        self._waiting.clear()
        under_way, self._under_way = self._under_way, []
        results = [batch.result for batch in under_way if not batch.result.cancel()]
        self._idle()
        if wait(results, RESCUE_SECONDS).not_done:
            for batch in under_way:
                if not batch.result.done():
                    batch.engine.give_up(RESCUE_SECONDS)
            wait(results)
        for result in results:
            if result.exception() is None:
                yield result.result()

    def close(self) -> None:
        for engine in self._started:
            engine.close()

    def _finished(self) -> Iterator[EncodedBatch]:
        """Yield what is encoded, and send the engines their next pictures.

        A batch is kept until the next one is asked for, so that `rescue` yields it again if Ctrl-C
        came before it was recorded.
        """
        self._has_news = False
        for batch in [batch for batch in self._under_way if batch.result.done()]:
            try:
                encoded = batch.result.result()
            except EngineLost as lost:
                self._under_way.remove(batch)
                self._waiting[:0] = batch.pictures
                self._restart(batch.engine, lost)
            else:
                yield encoded
                self._under_way.remove(batch)
        if self._loaded():
            self._send(None)

    def _tell(self, _: object) -> None:
        """Take note, in another thread, that something is done."""
        self._has_news = True
        self._wake()

    # -- the engines -----------------------------------------------------------------------------

    def _use(self, engines: list[Engine]) -> None:
        """Use these engines from now on; start those that are not."""
        self._engines = engines
        for engine in engines:
            if engine not in self._started:
                self._started.append(engine)
                engine.start()
                engine.traits.add_done_callback(self._tell)

    def _restart(self, engine: Engine, lost: EngineLost) -> None:
        engine.restart(lost)
        engine.traits.add_done_callback(self._tell)

    def _loaded(self) -> list[tuple[Engine, Traits]]:
        """Return the engines that are loaded, with their traits. Raises what loading raised."""
        loaded = []
        for engine in self._engines:
            if engine.traits.done():
                try:
                    loaded.append((engine, engine.traits.result()))
                except EngineLost as lost:
                    self._restart(engine, lost)
        return loaded

    def _is_full(self) -> bool:
        """Return whether too many pictures wait for the engines, or for one of them to load."""
        if not self._engines:
            return False
        most = self._batch() if self._loaded() else self._batch_size or MAX_WAITING
        return len(self._waiting) >= most

    def _batch(self) -> int:
        """Return how many pictures may wait beside those that are being encoded."""
        return sum(self._most(traits) for _, traits in self._loaded())

    def _most(self, traits: Traits) -> int:
        """Return how many pictures an engine may have at a time."""
        return self._batch_size or traits.batch_size

    def _send(self, size: int | None) -> None:
        """Send micro-batches, of at most `size`, to the engines that have the most room for them,
        while there are enough pictures for one.
        """
        lanes = [self._lane(engine, traits, size) for engine, traits in self._loaded()]
        while lanes:
            lane = max(lanes, key=lambda lane: lane.room)
            count = min(lane.size, lane.room)
            self._enough = count if count > 0 else self._batch()
            if count <= 0 or len(self._waiting) < count:
                return
            self._encode(lane.engine, count)
            lane.room -= count

    def _lane(self, engine: Engine, traits: Traits, size: int | None) -> "Lane":
        most = self._most(traits)
        micro = -(-most // traits.slots)
        held = sum(len(each.pictures) for each in self._under_way if each.engine is engine)
        return Lane(engine, min(size, micro) if size else micro, most - held)

    def _encode(self, engine: Engine, count: int) -> None:
        some, self._waiting = self._waiting[:count], self._waiting[count:]
        some.sort(key=_place)  # in a row, if they can be
        batch = MicroBatch(some, engine, engine.encode(some))
        self._under_way.append(batch)
        batch.result.add_done_callback(self._tell)

    def _wait(self) -> Iterator[None]:
        """Wait until something is encoded or an engine is loaded; give up engines that are silent.

        Ticks are counted, so that the hours for which a program is suspended (Ctrl-Z) are one.
        """
        self._idle()
        awaited: list[tuple[Engine, Future[Any]]] = []
        awaited += [(batch.engine, batch.result) for batch in self._under_way]
        awaited += [(each, each.traits) for each in self._engines if not each.traits.done()]
        results, ticks = [result for _, result in awaited], 0
        while results and not wait(results, TICK_SECONDS, FIRST_COMPLETED).done:
            yield None
            ticks += 1
            if ticks * TICK_SECONDS >= PATIENCE_SECONDS:
                ticks = 0
                for engine, _ in awaited:
                    engine.give_up(PATIENCE_SECONDS)


def _place(picture: Picture) -> int:
    slot = slot_of(picture.pixels)
    return slot.number if slot else -1


def queue_here(
    encoder: LoadEncoder,
    query_bank: LoadQueryBank | None,
    batch_size: int | None,
    wake: Callable[[], None] = lambda: None,
    quick: QuickStart | None = None,
    idle: Callable[[], object] = lambda: None,
) -> EncodingQueue:
    """Return a queue for an encoder in this process. quick: a quicker one for a few pictures."""
    bank = Once(query_bank) if query_bank else None
    return _queue([LocalEngine(encoder, bank)], bank, batch_size, wake, quick, idle)


def queue_on_devices(
    encoders: Mapping[str, LoadEncoder],
    query_bank: LoadQueryBank | None,
    batch_size: int | None,
    wake: Callable[[], None],
    quick: QuickStart | None,
    ring: Callable[[], Ring | None],
    idle: Callable[[], object] = lambda: None,
) -> EncodingQueue:
    """Return a queue for an encoder in a process for each device. ring: as in `DeviceEngine`.
    quick: one in this process, for a few pictures.
    """
    engines = [DeviceEngine(name, load, query_bank, ring) for name, load in encoders.items()]
    return _queue(engines, query_bank, batch_size, wake, quick, idle)


def _queue(
    engines: Sequence[Engine],
    query_bank: LoadQueryBank | None,
    batch_size: int | None,
    wake: Callable[[], None],
    quick: QuickStart | None,
    idle: Callable[[], object],
) -> EncodingQueue:
    first = LocalEngine(quick.encoder, query_bank) if quick else None
    most = quick.most if quick else 0
    return EncodingQueue(engines, batch_size, wake, quick=first, most_quick=most, idle=idle)
