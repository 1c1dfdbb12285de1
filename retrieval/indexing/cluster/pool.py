"""A pool of decoders and encoders on the nodes of a cluster, behind the protocol of a local pool.

Tasks travel in chunks. A chunk goes to a decoder; its pixels stay in Ray's object store, and an
encoder gets a reference to them. What a dead worker or node held is sent again.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import ClusterUnavailable, FailureCode
from retrieval.indexing.cluster.crew import FULL_LOAD, Crew, Hand, raise_cause
from retrieval.indexing.cluster.session import RaySession
from retrieval.indexing.cluster.workers import without_pixels
from retrieval.indexing.encoders.engine import EncodedRows
from retrieval.records import Failure

CHUNK = 64  # tasks that travel together, at most
MIN_CHUNK = 8
MAX_ATTEMPTS = 3  # with a chunk, and then with each of its files alone
WAIT_SECONDS = 0.2  # until it is checked whether there is other work, or no worker


class EncodedPicture(NamedTuple):
    """A picture's vector, (D,), and hubness, (2,)."""

    vector: NDArray[np.float32]
    hubness: NDArray[np.float32] | None
    precision: str


def _picture(encoded: EncodedRows, row: int) -> EncodedPicture:
    hubness = None if encoded.hubness is None else encoded.hubness[row]
    return EncodedPicture(encoded.vectors[row], hubness, encoded.precision)


@dataclass(eq=False, slots=True)
class Chunk:
    """Tasks that travel together."""

    tasks: list[Task]
    attempts: int = 0
    is_suspect: bool = False  # a worker died with it: it goes to one that has nothing else
    hand: Hand | None = None  # who has it now
    results: list[TaskResult] | None = None  # of the pictures; None until it is decoded
    pixels: Any = None  # Ray's reference

    @property
    def load(self) -> int:
        """What it counts for among the chunks that a worker has."""
        return FULL_LOAD if self.is_suspect else 1

    def may_go_to(self, hand: Hand) -> bool:
        return not hand.load if self.is_suspect else not hand.is_busy


class ClusterPool:
    """Decodes and encodes on a cluster, which is connected to when there is a first task.

    The vectors of a result are in `encoded` until the next one is collected.
    """

    def __init__(self, connect: Callable[[], tuple[RaySession, Crew]]) -> None:
        self.pending = 0
        self.encoded: dict[bytes, list[EncodedPicture]] = {}  # moments of the last result's digest
        self._connect = connect
        self._session: RaySession | None = None
        self._crew: Crew | None = None
        self._is_woken = threading.Event()
        self._queue: deque[Task] = deque()
        self._again: deque[Chunk] = deque()  # to be decoded once more
        self._decoded: deque[Chunk] = deque()  # without an encoder yet
        self._under_way: dict[Any, Chunk] = {}  # by the reference that will tell
        self._results: deque[tuple[TaskResult, list[EncodedPicture]]] = deque()
        self._at_close: list[Callable[[], None]] = []

    @property
    def session(self) -> RaySession | None:
        """The session, if it is connected."""
        return self._session

    @property
    def window(self) -> int:
        if self._crew is None:
            return CHUNK
        return CHUNK * (1 + 2 * len(self._crew.of("decoder")) + 4 * len(self._crew.of("encoder")))

    def submit(self, task: Task) -> None:
        """Accept a task. Raises ClusterUnavailable, as `collect`."""
        if self._crew is None:
            self._session, self._crew = self._connect()
        self._queue.append(task)
        self.pending += 1

    def collect(self) -> TaskResult | None:
        while not self._results:
            if self._is_woken.is_set():
                self._is_woken.clear()
                return None
            self._advance()
        self.pending -= 1
        result, encoded = self._results.popleft()
        self.encoded = {result.digest: encoded} if result.digest and encoded else {}
        return result

    def wake(self) -> None:
        """Make `collect` return, within WAIT_SECONDS."""
        self._is_woken.set()

    def at_close(self, end: Callable[[], None]) -> None:
        """Call `end` before this pool leaves the cluster."""
        self._at_close.append(end)

    def close(self) -> None:
        for end in self._at_close:
            end()
        if self._crew:
            self._crew.dismiss()
        if self._session:
            self._session.close()
        self._crew = self._session = None

    def _advance(self) -> None:
        """Give work to whoever is free, and wait until something is done."""
        assert self._session and self._crew
        self._send_to_encoders(self._crew)
        self._send_to_decoders(self._crew)
        waiting = [*self._under_way, *self._crew.starting]
        wait = self._session.ray.wait
        done, _ = wait(waiting, num_returns=1, timeout=WAIT_SECONDS, fetch_local=False)
        if len(waiting) > 1 and done:
            done, _ = wait(waiting, num_returns=len(waiting), timeout=0, fetch_local=False)
        for reference in done:
            if reference in self._under_way:
                self._take(reference, self._crew)
            else:
                self._crew.answered(reference)
        self._crew.check()

    # -- giving work -----------------------------------------------------------------------------

    def _send_to_decoders(self, crew: Crew) -> None:
        while len(self._decoded) < 2 * len(crew.of("encoder")):
            free = [hand for hand in crew.of("decoder") if not hand.is_busy]
            if not free or not (chunk := self._next_chunk(len(free))):
                return
            if not chunk.may_go_to(free[0]):
                self._again.appendleft(chunk)
                return
            self._give(chunk, free[0])
            results, chunk.pixels = free[0].actor.read.options(num_returns=2).remote(chunk.tasks)
            self._under_way[results] = chunk

    def _next_chunk(self, hands: int) -> Chunk | None:
        """Return the next chunk, such that these decoders get equal parts of what is queued."""
        if self._again:
            return self._again.popleft()
        size = min(max(MIN_CHUNK, -(-len(self._queue) // hands)), CHUNK, len(self._queue))
        return Chunk([self._queue.popleft() for _ in range(size)]) if size else None

    def _send_to_encoders(self, crew: Crew) -> None:
        while self._decoded:
            free = [hand for hand in crew.of("encoder") if self._decoded[0].may_go_to(hand)]
            if not free:
                return
            chunk = self._decoded.popleft()
            here = chunk.hand.seat.node if chunk.hand else None
            hand = min(free, key=lambda hand: (hand.load, hand.seat.node != here))
            self._give(chunk, hand)
            self._under_way[hand.actor.encode.remote(chunk.pixels)] = chunk

    def _give(self, chunk: Chunk, hand: Hand) -> None:
        chunk.hand = hand
        hand.load += chunk.load

    # -- taking results --------------------------------------------------------------------------

    def _take(self, reference: Any, crew: Crew) -> None:
        """Take what a worker returned for a chunk, or send the chunk again if the worker died."""
        assert self._session
        exceptions = self._session.ray.exceptions
        chunk = self._under_way.pop(reference)
        assert chunk.hand
        chunk.hand.load -= chunk.load
        try:
            answer = self._session.ray.get(reference)
        except exceptions.RayTaskError as error:
            raise_cause(error)
        except exceptions.RayError as error:
            if isinstance(error, exceptions.RayActorError):
                crew.lost(chunk.hand)
            self._repeat(chunk)
            return
        if chunk.results is None:
            self._take_decoded(chunk, [*map(without_pixels, answer)])
        else:
            self._take_encoded(chunk.results, answer)

    def _take_decoded(self, chunk: Chunk, results: list[TaskResult]) -> None:
        self._check_shared(chunk, results)
        self._results.extend((each, []) for each in results if not each.decoded)
        chunk.results = [each for each in results if each.decoded]
        if chunk.results:
            keys = {each.key for each in chunk.results}
            chunk.tasks = [task for task in chunk.tasks if task.key in keys]
            self._decoded.append(chunk)

    def _take_encoded(self, results: Iterable[TaskResult], encoded: EncodedRows) -> None:
        rows = iter(range(len(encoded.vectors)))
        for result in results:
            moments = len(result.decoded.frames) if result.decoded else 0
            pictures = [_picture(encoded, row) for row in islice(rows, moments or 1)]
            self._results.append((result, pictures))

    def _repeat(self, chunk: Chunk) -> None:
        """Decode a chunk again that was lost with a worker, or with the node of its pixels. It may
        only have waited behind the one that ended the worker, so it is alone with the next one.
        """
        attempts = chunk.attempts + 1
        if attempts < MAX_ATTEMPTS:
            self._again.append(Chunk(chunk.tasks, attempts, is_suspect=True))
        elif len(chunk.tasks) > 1:
            self._again.extend(Chunk([task], is_suspect=True) for task in chunk.tasks)
        else:
            said = f"{MAX_ATTEMPTS} workers of the cluster died while they had it"
            failure = Failure(FailureCode.CRASHED, said)
            self._results.append((TaskResult(chunk.tasks[0].key, failure=failure), []))

    def _check_shared(self, chunk: Chunk, results: Iterable[TaskResult]) -> None:
        """Raise ClusterUnavailable for a file that exists here but not on the node."""
        paths = {task.key: task.path for task in chunk.tasks}
        for result in results:
            if result.gone and os.path.exists(path := paths[result.key]):
                assert chunk.hand
                raise ClusterUnavailable(
                    f"the node {chunk.hand.seat.node.name} cannot read {os.fsdecode(path)}: "
                    "put the pictures on storage that all nodes mount at the same path"
                )
