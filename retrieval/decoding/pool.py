"""Processes that read, hash and decode files, of which any may die or hang at the cost of one file.

A thread here waits for each worker. One that ends without an answer takes its file with it (the
file is recorded as a failure) and is replaced. Workers are started as work comes.
"""

import queue
import threading
from typing import Protocol

from retrieval.decoding.limits import MAX_SECONDS
from retrieval.decoding.task import Answer, Task, work
from retrieval.decoding.worker import Processes, Worker, WorkerDied, WorkersFailed


class Pool(Protocol):
    """Takes tasks and gives answers, in any order."""

    @property
    def pending(self) -> int:
        """Tasks whose answer was not collected yet."""

    def submit(self, task: Task) -> None:
        """Returns at once."""

    def collect(self) -> Answer | None:
        """Waits for the next answer. None: somebody nudged."""

    def nudge(self) -> None:
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

    def collect(self) -> Answer | None:
        return work(self._tasks.get())

    def nudge(self) -> None:
        """Nothing to do: `collect` never waits."""

    def close(self) -> None:
        self._tasks = queue.SimpleQueue()


class WorkerPool:
    """Up to `count` processes, started when there is a task that no idle one takes."""

    def __init__(self, count: int, seconds: float = MAX_SECONDS) -> None:
        self._count = count
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer | WorkersFailed | None] = queue.SimpleQueue()
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

    def nudge(self) -> None:
        self._answers.put(None)

    def collect(self) -> Answer | None:
        answer = self._answers.get()
        if answer is None:
            return None
        self._pending -= 1
        if isinstance(answer, WorkersFailed):
            raise answer
        return answer

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
                self._answers.put(worker.do(task))
            except WorkerDied as error:
                worker = None
                self._answers.put(Answer(task.key, failure=error.failure))
            except WorkersFailed as error:
                self._answers.put(error)
        if worker is not None:
            worker.end()
