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
from typing import Any

from clipmodel.pools import Renewed
from retrieval.decoding.limits import STARVED
from retrieval.decoding.ring import messages
from retrieval.decoding.ring.memory import Pixels, SharedSlots
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode, RetrieveError, reason
from retrieval.records import Failure

PIPE_BYTES = 1 << 18  # fits 224 × 224 pixels, so that a worker need not wait for us
GRACE_SECONDS = 2.0  # for a worker to end by itself after its time limit
OUT_OF_TIME = "SIGPROF"  # ends a process that has used up its processor time
WORKER = "retrieval.decoding.worker_process"
PIPE_ERRORS = (OSError, EOFError, pickle.UnpicklingError)  # seen after a process has ended


class WorkersFailed(RetrieveError):
    """Worker processes cannot be started."""


class WorkerDied(Exception):
    """The worker ended while it held a task."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure  # of the file


# Workers of the process that this one was forked from. They are never garbage-collected: that would
# flush their pipes under a lock that a thread of the parent may have held.
_inherited: list[subprocess.Popen[bytes]] = []


class Processes(Renewed):
    """The live worker processes. All can be killed at once, and none is started after that."""

    def __init__(self, seconds: float = 0.0) -> None:
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

    def start(
        self, module: str = WORKER, shared: SharedSlots | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process that runs a module's `serve`. Raises WorkersFailed."""
        with self._lock:
            if self._closed:
                raise WorkersFailed("the pool is closed")
            try:
                process = start_process(module, shared)
            except OSError as error:
                said = f"cannot start a worker process: {reason(error)}"
                raise WorkersFailed(said) from error
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
        self._process = processes.start()
        try:
            self._write(handshake(processes.seconds))
            self._receive()
        except PIPE_ERRORS as error:
            raise ended_at_start(self.end()) from error

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def do(self, task: Task) -> TaskResult:
        began = time.monotonic()
        try:
            self._write(pickle.dumps([(task, ())], pickle.HIGHEST_PROTOCOL))
            self._wait(task.patience)
            return messages.unpacked(self._receive(), the_pixels)
        except PIPE_ERRORS as error:
            seconds = self._processes.seconds * task.patience
            failure = failure_of(self.end(), time.monotonic() - began, seconds)
            raise WorkerDied(failure) from error

    def end(self) -> str:
        """End the process if it still runs, and return how it ended."""
        how = end(self._process)
        self._processes.ended(self._process)
        return how

    def _wait(self, patience: int) -> None:
        """Wait for the result; kill a worker that cannot end itself, such as a stopped process."""
        if os.name == "posix":  # other systems cannot poll a pipe
            waiting = select.poll()
            waiting.register(self._process.stdout or -1, select.POLLIN)
            if not waiting.poll(1000 * patience_for(self._processes.seconds * patience)):
                self._process.kill()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def _receive(self) -> list[Any]:
        assert self._process.stdout is not None
        received: list[Any] = messages.read(self._process.stdout)
        return received


def the_pixels(placed: messages.Placed) -> Pixels:
    """Return the pixels of a result whose worker has no slots."""
    assert not isinstance(placed, int)
    return placed


def end(process: subprocess.Popen[bytes]) -> str:
    """End a process if it still runs, and return how it ended: "SIGKILL", "exit code 1"."""
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        with contextlib.suppress(OSError):
            pipe.close()
    try:
        code = process.wait(timeout=1)  # it ends by itself once its pipe is closed
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            code = process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:  # in a driver or a network drive that hangs
            return "SIGKILL"
    if code < 0:
        with contextlib.suppress(ValueError):
            return signal.Signals(-code).name
    return f"exit code {code}"


def ended_at_start(how: str) -> WorkersFailed:
    return WorkersFailed(f"a worker process ended at its start ({how}); try --workers 0")


def patience_for(allowed: float) -> float:
    """Return seconds by the clock after which a worker is ended from outside.

    allowed: seconds of processor time, after which it ends itself unless it is stopped.
    """
    return allowed * STARVED + GRACE_SECONDS


def failure_of(how: str, taken: float, allowed: float) -> Failure:
    """Return the failure of the file that a worker held when it ended.

    how: it ended. taken: seconds by the clock. allowed: seconds of processor time.
    """
    if how == OUT_OF_TIME or taken >= allowed * STARVED:
        return Failure(FailureCode.TIMED_OUT, f"decoding it took more than {allowed:g} s")
    return Failure(FailureCode.CRASHED, f"decoding it crashed the worker process ({how})")


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
# what it is for, which may need our modules.
BOOTSTRAP = """
import pickle, sys
try:
    sys.path[:] = pickle.load(sys.stdin.buffer)
    how = pickle.load(sys.stdin.buffer)
except EOFError:  # the run ended before this process started
    sys.exit()
from {module} import serve
serve(*how)
"""


def handshake(*how: object) -> bytes:
    """Return what a process is sent first: the arguments of its `serve`."""
    return b"".join(pickle.dumps(each, pickle.HIGHEST_PROTOCOL) for each in (sys.path, how))


def start_process(module: str, shared: SharedSlots | None) -> subprocess.Popen[bytes]:
    """Start a process that runs a module's `serve`, in its own session, so that Ctrl-C reaches only
    this process.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-c", BOOTSTRAP.format(module=module)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pipesize=PIPE_BYTES,
        pass_fds=(shared.descriptor,) if shared else (),
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )
