"""Worker processes that read pictures, so that a hostile one costs its process alone."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from retrieval.decoding.limits import MAX_SECONDS
from retrieval.decoding.task import Answer, Task
from retrieval.decoding.worker import Processes, Worker, WorkerDied, WorkersFailed
from retrieval.errors import FailureCode
from retrieval.records import Failure

COUNT = 2


class Decoders:
    """Each thread of a few keeps a worker, as an index run's pool does, but gives futures."""

    def __init__(self, count: int = COUNT) -> None:
        self._threads = ThreadPoolExecutor(count, "decoder")
        self._processes = Processes(MAX_SECONDS)
        self._mine = threading.local()
        self._workers: set[Worker] = set()

    def do(self, task: Task) -> "Future[Answer]":
        return self._threads.submit(self._do, task)

    def close(self) -> None:
        self._processes.kill_all()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._workers:
            worker.end()

    def _do(self, task: Task) -> Answer:
        try:
            worker = self._worker()
            return worker.do(task)
        except WorkerDied as error:
            self._mine.worker = None
            return Answer(task.key, failure=error.failure)
        except WorkersFailed as error:
            self._mine.worker = None
            return Answer(task.key, failure=Failure(FailureCode.NO_WORKER, str(error)))

    def _worker(self) -> Worker:
        worker: Worker | None = getattr(self._mine, "worker", None)
        if worker is None:
            worker = self._mine.worker = Worker(self._processes)
            self._workers.add(worker)
        return worker
