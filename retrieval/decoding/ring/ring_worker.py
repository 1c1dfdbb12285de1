"""A worker process that is given tasks ahead, so that it need not wait for us, nor we for it.

Its pipes never block this process. Each result comes as a message; the tasks of a worker that ends
go to others, but the one that it was at.
"""

import contextlib
import os
import pickle
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from retrieval.decoding.ring import messages
from retrieval.decoding.ring.memory import Pixels, Ring, Slot
from retrieval.decoding.task import Task, TaskResult
from retrieval.decoding.worker import (
    PIPE_BYTES,
    WORKER,
    Processes,
    end,
    ended_at_start,
    failure_of,
    handshake,
    patience_for,
)
from retrieval.errors import FailureCode

AHEAD_SECONDS = 0.02  # of work that a worker has before it, so that it never waits
START_SECONDS = 15.0  # of processor time, at least, for a worker to start
LEAST_AHEAD, MOST_AHEAD = 2, 64  # tasks, the one in work included
INERTIA = 0.9  # of the mean time of a task
AT_A_TIME = 4 * PIPE_BYTES  # bytes that are read before others have their turn


class Given(NamedTuple):
    """A task that a worker has, and the slots for its pixels."""

    task: Task
    slots: Sequence[Slot]

    def find(self, placed: messages.Placed) -> Pixels:
        return self.slots[placed].array() if isinstance(placed, int) else placed


class RingWorker:
    """A worker process, from outside. Raises WorkersFailed if it cannot be started."""

    def __init__(
        self,
        processes: Processes,
        ring: Ring | None,
        number: int,
        work: Callable[[Task], TaskResult],
    ) -> None:
        """number: of its cell in the ring. work: what it does with a task."""
        self._processes = processes
        self.number = number
        self._steps = ring.cells[number : number + 1] if ring else np.zeros(1, np.int64)
        self._steps[0] = self._done = 0  # its own count; tasks with a result
        shared = ring.shared if ring else None
        self.process: subprocess.Popen[bytes] = processes.start(WORKER, shared)
        assert self.process.stdin and self.process.stdout
        self.tasks, self.results = self.process.stdin.fileno(), self.process.stdout.fileno()
        for pipe in (self.tasks, self.results):
            os.set_blocking(pipe, False)
        self.given: deque[Given] = deque()
        self._unsent: deque[memoryview] = deque()
        self._received = bytearray()
        self._is_ready = False
        self._is_patient = False  # a task that may take long is among the last
        self._since = time.monotonic()  # the last result, or the first task after a rest
        self._mean = AHEAD_SECONDS  # seconds of a task
        self._send(handshake(processes.seconds, shared, number, work))

    @property
    def room(self) -> int:
        """How many tasks more it should have; 0 behind one that may take long."""
        if not self.given:
            return self._ahead
        if not self._is_ready or self._is_patient:
            return 0
        return self._ahead - len(self.given)

    @property
    def _ahead(self) -> int:
        return max(LEAST_AHEAD, min(MOST_AHEAD, int(AHEAD_SECONDS / self._mean)))

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def give(self, tasks: list[Given]) -> None:
        """Send it some tasks in one message."""
        if not self.given:
            self._since = time.monotonic()
        self.given.extend(tasks)
        self._is_patient = any(task.patience > 1 for task, _ in tasks)
        sent = [(task, [slot.number for slot in slots]) for task, slots in tasks]
        self._send(pickle.dumps(sent, pickle.HIGHEST_PROTOCOL))

    def _send(self, data: bytes) -> None:
        self._unsent.append(memoryview(data))
        self.flush()

    def flush(self) -> None:
        """Send what its pipe takes now; a worker that ended is noticed by `take`."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            while self._unsent:
                first = self._unsent[0]
                sent = os.write(self.tasks, first)
                if sent == len(first):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = first[sent:]

    def take(self) -> tuple[list[TaskResult], bool]:
        """Return the results that have come, and whether the process has ended."""
        try:
            data = os.read(self.results, AT_A_TIME)
        except BlockingIOError:
            return [], False
        self._received += data
        said: list[list[Any] | None] = messages.split(self._received)
        if said and not self._is_ready:
            self._is_ready, self._since = True, time.monotonic()
            del said[0]
        return [self._result(values) for values in said if values], not data

    def _result(self, values: list[Any]) -> TaskResult:
        now = time.monotonic()
        self._mean = INERTIA * self._mean + (1 - INERTIA) * (now - self._since)
        self._since = now
        self._done += 1
        given = self.given.popleft()
        return messages.unpacked(values, given.find)

    @property
    def is_late(self) -> bool:
        """Whether it should have ended itself by now: it is stopped, or cannot."""
        if not self.given:
            return False
        allowed = self._allowed if self._is_ready else max(self._allowed, START_SECONDS)
        return time.monotonic() - self._since > patience_for(allowed)

    @property
    def _allowed(self) -> float:
        """Seconds of processor time for the task that it is at."""
        at = min(self._place, len(self.given) - 1)
        return self._processes.seconds * self.given[at].task.patience

    @property
    def _place(self) -> int:
        """Which of the given tasks it is at, or next. Those before it are done, but it has not said
        so yet; without a cell it always has.
        """
        return max(0, (int(self._steps[0]) >> 1) - self._done)

    def lost(self, spared: set[int]) -> TaskResult | None:
        """Return the failure of the file that the ended process was at; the others are in `given`.

        spared: keys of the tasks that a process had not begun, as far as is known, when it ended.
        Each is tried again once. Raises WorkersFailed if it had not even started.
        """
        how = self.end()
        if not self._is_ready:
            raise ended_at_start(how)
        place = self._place
        if place >= len(self.given):
            return None
        task = self.given[place].task
        seconds = self._processes.seconds * task.patience
        failure = failure_of(how, time.monotonic() - self._since, seconds)
        is_at_work = self._steps[0] & 1 or failure.code is FailureCode.TIMED_OUT
        if not is_at_work and task.key not in spared:
            spared.add(task.key)
            return None
        del self.given[place]
        return TaskResult(task.key, failure=failure)

    def end(self) -> str:
        """End the process if it still runs; return how it ended. After that, it writes nothing."""
        how = end(self.process)
        self._processes.ended(self.process)
        return how
