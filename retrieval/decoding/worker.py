"""A worker process, from outside: it holds one file at a time, and may die or hang over it."""

import contextlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time

from clipmodel.pools import Renewed
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode, RetrieveError, reason
from retrieval.records import Failure

PIPE_BYTES = 1 << 18  # a result of 224 × 224 pixels fits, so that a worker goes on at once
GRACE_SECONDS = 2.0  # in which a worker whose time is over ends by itself
PIPE_ERRORS = (OSError, EOFError, pickle.UnpicklingError)  # what is seen of a process that ended


class WorkersFailed(RetrieveError):
    """No worker process can be started at all."""


class WorkerDied(Exception):
    """The worker ended while it held a task."""

    def __init__(self, code: FailureCode, said: str) -> None:
        super().__init__(said)
        self.failure = Failure(code, said)  # of the file


# Those of the process that this one was forked from. They are kept, as the garbage collector would
# flush their pipes, under a lock that a thread of that process may have held.
_inherited: list[subprocess.Popen[bytes]] = []


class Processes(Renewed):
    """Those that live, so that all can be killed, and none be started after that."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds  # what a task may take
        self._living: set[subprocess.Popen[bytes]] = set()
        super().__init__()

    def renew(self) -> None:
        for process in self._living:
            _let_go(process)
        _inherited.extend(self._living)
        self._living = set()
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
            raise WorkersFailed(f"no worker process can be started: {reason(error)}") from error
        try:
            self._send((sys.path, processes.seconds))
            self._receive()
        except PIPE_ERRORS as error:
            raise WorkersFailed(
                f"a worker process ended before it began ({self.end()}); try --workers 0"
            ) from error

    def do(self, task: Task) -> TaskResult:
        began = time.monotonic()
        try:
            self._send(task)
            self._wait()
            result = self._receive()
        except PIPE_ERRORS as error:
            end, seconds = self.end(), self._processes.seconds
            if time.monotonic() - began >= seconds:
                said = f"decoding it took more than {seconds:g} s"
                raise WorkerDied(FailureCode.TIMED_OUT, said) from error
            said = f"decoding it ended the worker process ({end})"
            raise WorkerDied(FailureCode.CRASHED, said) from error
        assert isinstance(result, TaskResult)
        return result

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
        """For the result; a worker that cannot even end itself, as it was stopped, is killed."""
        if os.name == "posix":  # elsewhere a pipe cannot be waited for
            waiting = select.poll()
            waiting.register(self._process.stdout or -1, select.POLLIN)
            if not waiting.poll((self._processes.seconds + GRACE_SECONDS) * 1000):
                self._process.kill()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def _receive(self) -> object:
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Keep a forked child from holding the pipes of a worker of its parent, which ends when the
    parent has closed them.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            os.dup2(nowhere, pipe.fileno(), inheritable=False)
    os.close(nowhere)
    process.returncode = 0  # it is not ours to wait for


# -P: a pickle.py in the current folder is not ours. The path comes first, then our modules.
BOOTSTRAP = """
import pickle, sys
try:
    sys.path[:], seconds = pickle.load(sys.stdin.buffer)
except EOFError:  # the run was over before this process had begun
    sys.exit()
from retrieval.decoding.worker_process import serve
serve(seconds)
"""


def start_process() -> subprocess.Popen[bytes]:
    """A process that serves; in a session of its own, so that Ctrl-C is for us alone."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", BOOTSTRAP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=PIPE_BYTES,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )
