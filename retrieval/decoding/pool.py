"""Processes that read, hash and decode files, of which any may die or hang at the cost of one file.

A thread here waits for each worker. One that ends without a result takes its file with it (the
file is a failure) and is replaced. Workers are started as work comes. An index run submits a stream
of tasks and collects their results in any order; a server asks for one and waits for that.
"""

import queue
import threading
from concurrent.futures import Future
from typing import Protocol

from clipmodel.pools import Renewed, Threads
from retrieval.decoding.limits import MAX_SECONDS
from retrieval.decoding.task import Task, TaskResult, work
from retrieval.decoding.worker import Processes, Worker, WorkerDied


class Pool(Protocol):
    """Takes tasks and gives results, in any order."""

    @property
    def pending(self) -> int:
        """Tasks whose result was not collected yet."""

    def submit(self, task: Task) -> None:
        """Take a task, and return at once."""

    def collect(self) -> TaskResult | None:
        """Wait for the next result. None: somebody called `wake`."""

    def wake(self) -> None:
        """Let `collect` return, as there is something else to do. For any thread."""

    def close(self) -> None:
        """Drop what is pending."""


class InProcess:
    """A pool without processes: for tests, and where none can be started. A crash is a crash."""

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
    """Up to `count` processes, started when there is a task that no idle one takes.

    `do` serves any number of threads; `submit` and `collect` one. A forked child has a pool of its
    own, with no workers yet and nothing pending.
    """

    def __init__(self, count: int, seconds: float = MAX_SECONDS) -> None:
        """seconds: what a task may take."""
        self._threads = Threads(count, "decoder")
        self._processes = Processes(seconds)
        super().__init__()

    def renew(self) -> None:
        self._results: queue.SimpleQueue[Future[TaskResult] | None] = queue.SimpleQueue()
        self._pending = 0
        self._local = threading.local()  # the worker of each thread
        self._workers: set[Worker] = set()

    def do(self, task: Task) -> "Future[TaskResult]":
        """Start one task. Its result may be a failure; the future raises WorkersFailed if no worker
        can be started at all.
        """
        return self._threads.submit(self._do, task)

    @property
    def pending(self) -> int:
        return self._pending

    def submit(self, task: Task) -> None:
        self._pending += 1
        self.do(task).add_done_callback(self._results.put)

    def collect(self) -> TaskResult | None:
        future = self._results.get()
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
        """Give a task to the worker of this thread; start one if there is none."""
        worker: Worker | None = getattr(self._local, "worker", None)
        if worker is None:
            worker = self._local.worker = Worker(self._processes)
            self._workers.add(worker)
        try:
            return worker.do(task)
        except WorkerDied as error:
            self._local.worker = None
            self._workers.discard(worker)
            return TaskResult(task.key, failure=error.failure)
