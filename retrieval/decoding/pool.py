"""A pool of processes that read, hash and decode files. One that dies or hangs costs one file.

A thread waits for each worker. If the worker ends without a result, its file counts as a failure
and the worker is replaced. Workers are started when there is work. An index run submits a stream of
tasks and collects their results in any order; a server submits one task and waits for it.
"""

import os
import queue
import threading
from concurrent.futures import Future
from typing import Protocol

from clipmodel.pools import Renewed, Threads
from retrieval.decoding.limits import MAX_SECONDS
from retrieval.decoding.task import Task, TaskResult, work
from retrieval.decoding.worker import Processes, Worker, WorkerDied

MAX_WORKERS = 64  # by default; a process with 70 MB each
CPU_QUOTA = "/sys/fs/cgroup/cpu.max"
PULSE_SECONDS = 1.0  # after which a run that waits for a file hears that it shall stop
TASKS_AHEAD = 64  # decoded while a batch is encoded, plus two for each worker


def default_workers() -> int:
    """Return the default number of processes that decode: one for each core that we may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(usable or 1, _quota(CPU_QUOTA), MAX_WORKERS))


def _quota(file: str) -> int:
    """Return how many cores a container may use, rounded up; all without a limit."""
    try:
        with open(file) as held:
            quota, period = held.read().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no container, or "max"
        return MAX_WORKERS


class Pool(Protocol):
    """Takes tasks and gives results, in any order."""

    @property
    def window(self) -> int:
        """The number of tasks that keep it busy. More of them would only wait, in memory."""

    @property
    def pending(self) -> int:
        """The number of tasks whose results have not been collected."""

    def submit(self, task: Task) -> None:
        """Accept a task and return at once."""

    def collect(self) -> TaskResult | None:
        """Wait for the next result. Returns None after a call to `wake`, or PULSE_SECONDS."""

    def wake(self) -> None:
        """Make `collect` return so that its caller can do other work. Callable from any thread."""

    def close(self) -> None:
        """Drop all pending tasks."""


class InProcess:
    """A pool without processes, for tests and `--workers 0`. A crash ends the program."""

    window = TASKS_AHEAD

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()

    @property
    def pending(self) -> int:
        return self._tasks.qsize()

    def submit(self, task: Task) -> None:
        self._tasks.put(task)

    def collect(self) -> TaskResult | None:
        return work(self._tasks.get())

    def wake(self) -> None:
        """Do nothing: `collect` never waits."""

    def close(self) -> None:
        self._tasks = queue.SimpleQueue()


class WorkerPool(Renewed):
    """A pool of up to `count` processes, started when there is a task and no idle process.

    Any number of threads may call `do`, but only one `submit` and `collect`. After a fork, the
    child's pool starts empty: no workers, nothing pending.
    """

    def __init__(self, count: int, seconds: float = MAX_SECONDS) -> None:
        """seconds: of processor time for a task."""
        self.window = TASKS_AHEAD + 2 * count
        self._threads = Threads(count, "decoder")
        self._processes = Processes(seconds)
        super().__init__()

    def renew(self) -> None:
        self._results: queue.SimpleQueue[Future[TaskResult] | None] = queue.SimpleQueue()
        self._pending = 0
        self._local = threading.local()  # the worker of each thread
        self._workers: set[Worker] = set()

    def do(self, task: Task) -> "Future[TaskResult]":
        """Start one task. Its result may be a failure.

        The future raises WorkersFailed if no worker can be started.
        """
        return self._threads.submit(self._do, task)

    @property
    def pending(self) -> int:
        return self._pending

    def submit(self, task: Task) -> None:
        self._pending += 1
        self.do(task).add_done_callback(self._results.put)

    def collect(self) -> TaskResult | None:
        try:
            future = self._results.get(timeout=PULSE_SECONDS)
        except queue.Empty:
            return None
        if future is None:
            return None
        self._pending -= 1
        return future.result()

    def wake(self) -> None:
        self._results.put(None)

    def close(self) -> None:
        self._processes.kill_all()
        self._threads.shutdown()
        for worker in self._workers:
            worker.end()

    def _do(self, task: Task) -> TaskResult:
        """Give a task to this thread's worker, which is started if necessary."""
        worker: Worker | None = getattr(self._local, "worker", None)
        if worker and worker.has_ended:  # between two tasks: no file did that
            worker.end()
            self._workers.discard(worker)
            worker = None
        if worker is None:
            worker = self._local.worker = Worker(self._processes)
            self._workers.add(worker)
        try:
            return worker.do(task)
        except WorkerDied as error:
            self._local.worker = None
            self._workers.discard(worker)
            return TaskResult(task.key, failure=error.failure)
