"""A worker process, from outside: it works on one file at a time, and may die or hang."""

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
from retrieval.decoding.limits import STARVED
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode, RetrieveError, reason
from retrieval.records import Failure

PIPE_BYTES = 1 << 18  # fits 224 × 224 pixels, so that a worker need not wait for us
GRACE_SECONDS = 2.0  # for a worker to end by itself after its time limit
OUT_OF_TIME = "SIGPROF"  # ends a process that has used up its processor time
PIPE_ERRORS = (OSError, EOFError, pickle.UnpicklingError)  # seen after a process has ended


class WorkersFailed(RetrieveError):
    """Worker processes cannot be started."""


class WorkerDied(Exception):
    """The worker ended while it held a task."""

    def __init__(self, code: FailureCode, said: str) -> None:
        super().__init__(said)
        self.failure = Failure(code, said)  # of the file


# Workers of the process that this one was forked from. They are never garbage-collected: that would
# flush their pipes under a lock that a thread of the parent may have held.
_inherited: list[subprocess.Popen[bytes]] = []


class Processes(Renewed):
    """The live worker processes. All can be killed at once, and none is started after that."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds  # of processor time for a task
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
    """A handle on one worker process."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        try:
            self._process = processes.start()
        except OSError as error:
            raise WorkersFailed(f"cannot start a worker process: {reason(error)}") from error
        try:
            self._send((sys.path, processes.seconds))
            self._receive()
        except PIPE_ERRORS as error:
            raise WorkersFailed(
                f"a worker process ended at its start ({self.end()}); try --workers 0"
            ) from error

    def do(self, task: Task) -> TaskResult:
        began = time.monotonic()
        try:
            self._send(task)
            self._wait(task.patience)
            result = self._receive()
        except PIPE_ERRORS as error:
            end, seconds = self.end(), self._processes.seconds * task.patience
            took = time.monotonic() - began
            if end == OUT_OF_TIME or took >= seconds * STARVED:
                said = f"decoding it took more than {seconds:g} s"
                raise WorkerDied(FailureCode.TIMED_OUT, said) from error
            said = f"decoding it crashed the worker process ({end})"
            raise WorkerDied(FailureCode.CRASHED, said) from error
        assert isinstance(result, TaskResult)
        return result

    def end(self) -> str:
        """End the process if it still runs, and return how it ended."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            code = process.wait(timeout=1)  # it ends by itself once its pipe is closed
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._processes.ended(process)
        if code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit code {code}"

    def _wait(self, patience: int) -> None:
        """Wait for the result; kill a worker that cannot end itself, such as a stopped process."""
        if os.name == "posix":  # other systems cannot poll a pipe
            waiting = select.poll()
            waiting.register(self._process.stdout or -1, select.POLLIN)
            seconds = self._processes.seconds * patience * STARVED + GRACE_SECONDS
            if not waiting.poll(seconds * 1000):
                self._process.kill()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        pickle.dump(message, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def _receive(self) -> object:
        assert self._process.stdout is not None
        return pickle.load(self._process.stdout)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Release a forked child's copies of the pipes of its parent's worker.

    The worker ends when the parent closes the pipes, unless a child still holds them.
    """
    nowhere = os.open(os.devnull, os.O_RDWR)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            os.dup2(nowhere, pipe.fileno(), inheritable=False)
    os.close(nowhere)
    process.returncode = 0  # only the parent may wait for it


# Started with -P, so that a pickle.py in the current folder is ignored. Receives sys.path, then
# imports our modules.
BOOTSTRAP = """
import pickle, sys
try:
    sys.path[:], seconds = pickle.load(sys.stdin.buffer)
except EOFError:  # the run ended before this process started
    sys.exit()
from retrieval.decoding.worker_process import serve
serve(seconds)
"""


def start_process() -> subprocess.Popen[bytes]:
    """Start a worker process in its own session, so that Ctrl-C reaches only this process."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", BOOTSTRAP],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=PIPE_BYTES,
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )
