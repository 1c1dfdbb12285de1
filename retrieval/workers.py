"""Processes that read, hash and decode files, of which any may die or hang at the cost of one file.

Each worker is a process of its own that holds one file at a time and talks over its two pipes;
a thread here waits for it. A worker that ends without an answer takes its file with it (the file is
recorded as a failure) and is replaced. Workers are started as work comes, import neither torch nor
the caller's `__main__`, and end when their pipe closes, however this process ended.
"""

import contextlib
import faulthandler
import importlib
import os
import pickle
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from retrieval.bounds import MAX_SECONDS, memory_for
from retrieval.errors import RetrieveError, UnreadablePicture
from retrieval.records import Decoded, Shot

PIPE_BYTES = 1 << 18  # an answer of 224 × 224 pixels fits, so that a worker goes on at once
GRACE = 2.0  # seconds, in which a worker whose time is over ends by itself
BROKEN = (OSError, EOFError, pickle.UnpicklingError)  # what is seen of a process that ended


@dataclass(frozen=True, slots=True)
class Task:
    """Read a file and hash it; then decode it where `size` is given, draw it small where `box` is,
    or only read its EXIF.
    """

    key: int  # the caller's, returned with the answer
    path: bytes  # absolute
    size: int | None  # pixels a side
    max_pixels: int
    describe: bool = False
    box: tuple[int, int] | None = None  # pixels, width and height, that a thumbnail must fit into


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a task: digest and what else was asked for, or why not."""

    key: int
    digest: bytes | None = None
    decoded: Decoded | None = None
    shot: Shot | None = None
    thumbnail: bytes | None = None  # WebP
    failure: str | None = None
    lasting: bool = True  # False: what went wrong is not in the file's bytes; it is worth a retry
    gone: bool = False  # there is no such file any more


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


def work(task: Task) -> Answer:
    """One task, in this process."""
    from retrieval import decode  # Pillow, which a run that finds nothing new does without

    digest = None
    try:
        data = decode.read(task.path)
        digest = decode.digest_of(data)
        if task.describe:
            return Answer(task.key, digest, shot=decode.describe(data))
        with decode.allowing(task.max_pixels):
            decoded = decode.decode(data, task.size, task.max_pixels) if task.size else None
            small = decode.thumbnail(data, *task.box, task.max_pixels) if task.box else None
        return Answer(task.key, digest, decoded, thumbnail=decode.webp(small) if small else None)
    except FileNotFoundError:
        return Answer(task.key, gone=True)
    except UnreadablePicture as error:
        is_of_disk = digest is None and isinstance(error.__cause__, OSError)  # or a permission
        return Answer(task.key, digest, failure=str(error), lasting=not is_of_disk)


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
                self._answers.put(Answer(task.key, failure=str(error)))
            except WorkersFailed as error:
                self._answers.put(error)
        if worker is not None:
            worker.end()


class WorkersFailed(RetrieveError):
    """No worker process can be started at all."""


class WorkerDied(Exception):
    """The worker ended while it held a task; the message says what is known."""


class Processes:
    """Those that live, so that all can be killed, and none be started after that."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds  # what a task may take
        self._living: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def start(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise WorkersFailed("the pool is closed")
            process = start_process()
            self._living.add(process)
            return process

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._living.discard(process)

    def kill_all(self) -> None:
        with self._lock:
            self._closed = True
            for process in self._living:
                process.kill()


class Worker:
    """One process, seen from here."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        try:
            self._process = processes.start()
        except OSError as error:
            raise WorkersFailed(f"no worker process can be started: {error.strerror}") from error
        try:
            self._send((sys.path, processes.seconds))
            self._receive()
        except BROKEN as error:
            raise WorkersFailed(
                f"a worker process ended before it began ({self.end()}); try --workers 0"
            ) from error

    def do(self, task: Task) -> Answer:
        began = time.monotonic()
        try:
            self._send(task)
            self._wait()
            answer = self._receive()
        except BROKEN as error:
            end, seconds = self.end(), self._processes.seconds
            if time.monotonic() - began >= seconds:
                raise WorkerDied(f"decoding it took more than {seconds:g} s") from error
            raise WorkerDied(f"decoding it ended the worker process ({end})") from error
        assert isinstance(answer, Answer)
        return answer

    def end(self) -> str:
        """Make sure that the process is gone; returns how it ended."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            code = process.wait(timeout=1)  # it ends by itself when its pipe closes
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._processes.ended(process)
        if code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit code {code}"

    def _wait(self) -> None:
        """For the answer; a worker that cannot even end itself, as it was stopped, is killed."""
        if os.name == "posix":  # elsewhere a pipe cannot be waited for
            waiting = select.poll()
            waiting.register(self._process.stdout or -1, select.POLLIN)
            if not waiting.poll((self._processes.seconds + GRACE) * 1000):
                self._process.kill()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def _receive(self) -> object:
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)


# -- the worker's side ---------------------------------------------------------------------------

# -P: a pickle.py in the current folder is not ours. The path comes first, then our modules.
BOOTSTRAP = """
import pickle, sys
try:
    sys.path[:], seconds = pickle.load(sys.stdin.buffer)
except EOFError:  # the run was over before this process had begun
    sys.exit()
from retrieval.workers import serve
serve(seconds)
"""

# glibc's malloc gives memory of a picture's size back to the system, page by page, and asks for it
# anew for the next picture, which takes as long as decoding a small one. Other mallocs ignore this.
KEEPING_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 20)}


def start_process() -> subprocess.Popen[bytes]:
    """A process that serves; in a session of its own, so that Ctrl-C is for us alone."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", BOOTSTRAP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=PIPE_BYTES,
        env=KEEPING_MEMORY | os.environ,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )


def serve(seconds: float) -> None:
    """Answer tasks from standard input on standard output, until there are no more."""
    tasks, answers = sys.stdin.buffer, _claim_output()
    importlib.import_module("retrieval.decode")  # so that it is no part of the first task
    memory = Memory()
    _reply(answers, None)
    while True:
        try:
            task = pickle.load(tasks)
        except EOFError:
            return
        memory.allow(memory_for(task.max_pixels))
        # Ends the process from outside the interpreter, so that a loop in C ends as well.
        faulthandler.dump_traceback_later(seconds, exit=True)
        answer = work(task)
        faulthandler.cancel_dump_traceback_later()
        _reply(answers, answer)


class Memory:
    """The bound of this process, beyond what it holds now; Linux alone can count it.

    What is asked for beyond it is refused, which decoders bear: a MemoryError, or the end of the
    process. Without a bound the system would look for a victim among all processes.
    """

    def __init__(self) -> None:
        self._held = _private_bytes()
        self._allowed = 0

    def allow(self, most: int) -> None:
        if self._held is None or most == self._allowed:
            return
        import resource

        _, ceiling = resource.getrlimit(resource.RLIMIT_DATA)
        bound = self._held + most
        if ceiling != resource.RLIM_INFINITY:
            bound = min(bound, ceiling)
        resource.setrlimit(resource.RLIMIT_DATA, (bound, ceiling))
        self._allowed = most


def _private_bytes() -> int | None:
    """What RLIMIT_DATA counts: memory of this process alone, used or only reserved."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmData:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else None


def _claim_output() -> IO[bytes]:
    """The pipe for the answers; what C libraries print goes nowhere from here on."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answers


def _reply(answers: IO[bytes], message: Any) -> None:
    pickle.dump(message, answers, pickle.HIGHEST_PROTOCOL)
    answers.flush()
