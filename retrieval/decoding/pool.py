"""Processes that read, hash and decode files, of which any may die or hang at the cost of one file.

A thread here waits for each worker. One that ends without a result takes its file with it (the
file is recorded as a failure) and is replaced. Workers are started as work comes.
"""

import queue
import threading
from typing import Protocol

from retrieval.decoding.limits import MAX_SECONDS
from retrieval.decoding.task import Task, TaskResult, work
from retrieval.decoding.worker import Processes, Worker, WorkerDied, WorkersFailed


class Pool(Protocol):
    """Takes tasks and gives results, in any order."""

    @property
    def pending(self) -> int:
        """Tasks whose result was not collected yet."""

    def submit(self, task: Task) -> None:
        """Returns at once."""

    def collect(self) -> TaskResult | None:
        """Waits for the next result. None: somebody woke it."""

    def wake(self) -> None:
        """From any thread: let `collect` return, as there is something else to do."""

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
        """Nothing to do: `collect` never waits."""

    def close(self) -> None:
        self._tasks = queue.SimpleQueue()


class WorkerPool:
    """Up to `count` processes, started when there is a task that no idle one takes."""

    def __init__(self, count: int, seconds: float = MAX_SECONDS) -> None:
        self._count = count
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[TaskResult | WorkersFailed | None] = queue.SimpleQueue()
        self._pending = 0
        self._threads: list[threading.Thread] = []
        self._processes = Processes(seconds)

    @property
    def pending(self) -> int:
        return self._pending

    def submit(self, task: Task) -> None:
        self._pending += 1
        self._tasks.put(task)
        if len(self._threads) < min(self._count, self._pending):
            thread = threading.Thread(target=self._attend, daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self) -> None:
        self._results.put(None)

    def collect(self) -> TaskResult | None:
        result = self._results.get()
        if result is None:
            return None
        self._pending -= 1
        if isinstance(result, WorkersFailed):
            raise result
        return result

    def close(self) -> None:
        self._processes.kill_all()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _attend(self) -> None:
        """Keep one worker at work, and replace it when it dies. Runs in a thread of its own."""
        worker: Worker | None = None
        while (task := self._tasks.get()) is not None:
            try:
                worker = worker or Worker(self._processes)
                self._results.put(worker.do(task))
            except WorkerDied as error:
                worker = None
                self._results.put(TaskResult(task.key, failure=str(error)))
            except WorkersFailed as error:
                self._results.put(error)
        if worker is not None:
            worker.end()
