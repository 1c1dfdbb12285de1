"""A pool that reads what is not on this machine, and hands the bytes to a pool that decodes.

Reads wait for a network, so there are many at a time, in threads; how many, and how many bytes are
held, is bounded. The bytes then go to a worker process as those of a local file do.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from retrieval.decoding.pool import PULSE_SECONDS, Pool
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture
from retrieval.records import Failure
from retrieval.sources.opening import fetch, is_on_web, read

READS = 32  # at a time
MAX_HELD = 512 << 20  # bytes that are read and not decoded yet, beyond which no read begins


class ReadingPool:
    """Takes any task; one for a local file goes straight to the pool that decodes."""

    def __init__(self, decoding: Pool, *, only_web: bool = False) -> None:
        """only_web: the decoding pool reads by itself what is not on the web."""
        self._decoding = decoding
        self._only_web = only_web
        self._waiting: deque[Task] = deque()
        self._read: queue.SimpleQueue[Task | TaskResult | Exception | None] = queue.SimpleQueue()
        self._reading = 0
        self._held: dict[int, int] = {}  # task -> bytes that are read and not decoded yet
        self._fetched: dict[int, tuple[int, int | None, str | None]] = {}  # of tasks, as in results
        self._is_closed = False

    @property
    def window(self) -> int:
        return self._decoding.window

    @property
    def pending(self) -> int:
        return self._decoding.pending + self._reading + len(self._waiting)

    def submit(self, task: Task) -> None:
        if self._reads(task):
            self._waiting.append(task)
            self._start_reads()
        else:
            self._decoding.submit(task)

    def _reads(self, task: Task) -> bool:
        if task.data is not None or b"://" not in task.path:  # quickly, for each local file
            return False
        return is_on_web(task.entry) if self._only_web else task.entry.is_remote

    def collect(self) -> TaskResult | None:
        while True:
            done = self._taken()
            if done is not None:
                return done
            if not self._decoding.pending:
                if (found := self._next()) is None:
                    return None
                self._read.put(found)
                continue
            result = self._decoding.collect()
            if result is not None:
                self._held.pop(result.key, None)
                self._start_reads()
                fetched = self._fetched.pop(result.key, None)
                return result._replace(fetched=fetched) if fetched else result
            if self._read.empty():
                return None

    def wake(self) -> None:
        self._read.put(None)
        self._decoding.wake()

    def close(self) -> None:
        self._is_closed = True
        self._waiting.clear()
        self._decoding.close()

    def _next(self) -> Task | TaskResult | Exception | None:
        """Wait for what a thread has read; None after PULSE_SECONDS."""
        with suppress(queue.Empty):
            return self._read.get(timeout=PULSE_SECONDS)
        return None

    def _start_reads(self) -> None:
        while self._waiting and self._reading < READS and sum(self._held.values()) < MAX_HELD:
            task = self._waiting.popleft()
            self._reading += 1
            # Python's end waits for threads of an executor, as long as a server does not answer.
            threading.Thread(target=self._fetch, args=(task,), name="reader", daemon=True).start()

    def _fetch(self, task: Task) -> None:
        """Read the bytes of a task, in a thread."""
        try:
            self._read.put(attempted(task, self._with_data))
        except Exception as error:  # a mistake of ours: the waiting thread must learn of it
            self._read.put(error)
        if not self._is_closed:
            self._decoding.wake()

    def _with_data(self, task: Task) -> Task | TaskResult:
        """Return the task with its bytes; from the web with what else is known of them."""
        if not is_on_web(task.entry):
            return with_bytes(task)
        answer = fetch(task.entry, task.version)
        if answer.data is None:
            return TaskResult(task.key, unchanged=True)
        self._fetched[task.key] = len(answer.data), answer.modified_ns, answer.version
        return task._replace(data=answer.data)

    def _taken(self) -> TaskResult | None:
        """Hand on what was read; return the first task that has a result without being decoded."""
        while not self._read.empty():
            found = self._read.get()
            if found is None:
                continue
            self._reading -= 1
            self._start_reads()
            if isinstance(found, Exception):
                raise found
            if isinstance(found, TaskResult):
                return found
            self._held[found.key] = len(found.data or b"")
            self._decoding.submit(found)
        return None


def attempted(task: Task, read: Callable[[Task], Task | TaskResult]) -> Task | TaskResult:
    """Return what `read` returns, or the failure to read the entry."""
    try:
        return read(task)
    except FileNotFoundError:
        return TaskResult(task.key, gone=True)
    except UnreadablePicture as error:
        return TaskResult(task.key, failure=Failure.of(error))
    except SourceUnavailable as error:
        return TaskResult(task.key, failure=Failure(FailureCode.UNREADABLE, str(error)))


def with_bytes(task: Task) -> Task:
    """Return the task with the bytes of its entry. Raises what `read` raises."""
    return task._replace(data=read(task.entry))
