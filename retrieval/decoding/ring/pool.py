"""A pool of worker processes whose pixels come in shared memory, driven by one thread: its caller.

Nothing here waits for one worker: `collect` hears all of them at once, and takes whatever they have
said since. A task gets a slot for its pixels where one is free; without one they come through the
worker's pipe, so a full ring only makes it slower.
"""

import contextlib
import logging
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable

from clipmodel.pools import Renewed
from retrieval.decoding.limits import MAX_SECONDS
from retrieval.decoding.pool import PULSE_SECONDS, TASKS_AHEAD
from retrieval.decoding.ring.memory import CELLS, Ring
from retrieval.decoding.ring.ring_worker import Given, RingWorker
from retrieval.decoding.task import Task, TaskResult, work
from retrieval.decoding.worker import Processes, WorkersFailed
from retrieval.errors import reason

CHECK_SECONDS = PULSE_SECONDS  # between two checks for workers that hang
MAX_FAILED_STARTS = 3  # of workers: one may have been killed


class RingPool(Renewed):
    """A `Pool` of up to `count` processes, each started when there is a task and no idle process.

    One thread may use it; any thread may call `wake`. After a fork, the child's pool starts empty.
    """

    def __init__(
        self,
        count: int,
        ring: Callable[[], Ring | None],
        *,
        ahead: int = TASKS_AHEAD,
        seconds: float = MAX_SECONDS,
        work: Callable[[Task], TaskResult] = work,
    ) -> None:
        """ring: returns the slots, called before the first task. ahead: tasks whose results may
        wait here, beside those that keep the workers busy. seconds, work: of a task.
        """
        self._count = min(count, CELLS)
        self.window = ahead + 2 * self._count
        self._make_ring = ring
        self._work = work
        self._processes = Processes(seconds)
        super().__init__()

    def renew(self) -> None:
        self._workers: list[RingWorker] = []
        self._queue: deque[Task] = deque()
        self._results: deque[TaskResult] = deque()
        self._pending = 0
        self._ring: Ring | None = None
        self._has_ring = False
        self._spared: set[int] = set()  # as in `RingWorker.lost`
        self._failed_starts = 0
        self._selector = selectors.DefaultSelector()
        self._is_woken = False
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._checked = time.monotonic()

    @property
    def pending(self) -> int:
        return self._pending

    def submit(self, task: Task) -> None:
        self._pending += 1
        self._queue.append(task)

    def collect(self) -> TaskResult | None:
        """Wait for a result, or for `wake`. Raises WorkersFailed if no worker can be started."""
        until = time.monotonic() + PULSE_SECONDS
        while not self._results:
            self._give()
            self._hear()
            if self._is_woken or time.monotonic() > until:
                self._is_woken = False
                return None
        self._pending -= 1
        return self._results.popleft()

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # it is woken already, or closed
            self._waker.send(b"\0")

    def close(self) -> None:
        self._processes.kill_all()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        self._queue.clear()
        self._selector.close()
        self._woken.close()
        self._waker.close()
        self._ring = None

    # -- giving tasks ----------------------------------------------------------------------------

    def _give(self) -> None:
        """Give what is queued to workers that have room."""
        while self._queue:
            worker = self._next_worker()
            if worker is None:
                return
            share = max(1, -(-len(self._queue) // self._count))
            some = [self._given() for _ in range(min(worker.room, share))]
            worker.give(some)
            self._watch(worker)

    def _next_worker(self) -> RingWorker | None:
        """Return an idle worker, else a new one, else the one that has the most room."""
        best = max(self._workers, key=lambda worker: worker.room, default=None)
        if (best is None or best.given) and len(self._workers) < self._count:
            return self._start()
        return best if best and best.room * 2 > len(best.given) else None

    def _start(self) -> RingWorker:
        if not self._has_ring:
            self._ring, self._has_ring = self._make_ring(), True
        taken = {worker.number for worker in self._workers}
        number = min(set(range(len(taken) + 1)) - taken)
        worker = RingWorker(self._processes, self._ring, number, self._work)
        self._workers.append(worker)
        self._selector.register(worker.results, selectors.EVENT_READ, worker)
        return worker

    def _given(self) -> Given:
        task = self._queue.popleft()
        wanted = max(1, len(task.at)) if task.size and self._ring else 0
        return Given(task, self._ring.take(wanted) if wanted and self._ring else ())

    def _watch(self, worker: RingWorker) -> None:
        """Hear of room in a worker's pipe only while there is something to send."""
        is_watched = worker.tasks in self._selector.get_map()
        if worker.has_unsent and not is_watched:
            self._selector.register(worker.tasks, selectors.EVENT_WRITE, worker)
        elif is_watched and not worker.has_unsent:
            self._selector.unregister(worker.tasks)

    # -- hearing workers -------------------------------------------------------------------------

    def _hear(self) -> None:
        """Wait until something comes, and take all of it."""
        for key, event in self._selector.select(CHECK_SECONDS):
            if key.data is None:
                self._is_woken = bool(self._woken.recv(1 << 12))
            elif key.data not in self._workers:  # its other pipe has said that it ended
                continue
            elif event & selectors.EVENT_WRITE:
                key.data.flush()
                self._watch(key.data)
            else:
                results, has_ended = key.data.take()
                self._results.extend(results)
                if has_ended:
                    self._replace(key.data)
        if (now := time.monotonic()) > self._checked + CHECK_SECONDS:
            self._checked = now
            for worker in self._workers:
                if worker.is_late:
                    worker.process.kill()

    def _replace(self, worker: RingWorker) -> None:
        """Take the tasks of a worker that ended: what it was at is a failure, the others are done
        again.
        """
        self._workers.remove(worker)
        self._selector.unregister(worker.results)
        if worker.tasks in self._selector.get_map():
            self._selector.unregister(worker.tasks)
        try:
            if failed := worker.lost(self._spared):
                self._results.append(failed)
        except WorkersFailed:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise
        self._queue.extendleft(task for task, _ in reversed(worker.given))


def ring_of(count: int, side: int) -> Ring | None:
    """Make a ring, or log why the pixels go through pipes."""
    try:
        return Ring(count, side)
    except OSError as error:
        logging.getLogger("retrieval").warning(
            f"pictures go from process to process through pipes, which is slower: "
            f"no memory can be shared ({reason(error)})"
        )
        return None
