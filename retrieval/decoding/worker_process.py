"""A worker process, from inside: it reads tasks from standard input and writes results.

Imports neither torch nor the caller's `__main__`, and ends when its pipe closes.
"""

import faulthandler
import importlib
import os
import pickle
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from retrieval.decoding import malloc
from retrieval.decoding.limits import STARVED, memory_for
from retrieval.decoding.task import work

STANDARD_ERROR = 2  # a number, as sys.stderr may be None


def serve(seconds: float) -> None:
    """Do tasks from standard input until it ends; write results to standard output.

    seconds: of processor time for one task.
    """
    malloc.keep(malloc.WORKER_KEEPS_BYTES)
    tasks, results = sys.stdin.buffer, _claim_output()
    importlib.import_module("retrieval.decoding.decode")  # not timed with the first task
    memory = Memory()
    _reply(results, None)
    while True:
        try:
            task = pickle.load(tasks)
        except EOFError:
            return
        memory.allow(memory_for(task.max_pixels))
        with _within(seconds * task.patience):
            result = work(task)
        _reply(results, result)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """End this process if it takes longer: by its processor time, and by the clock if that is
    STARVED times as long. A signal and a C thread do it, so that a loop in C ends as well.
    """
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)
    faulthandler.dump_traceback_later(seconds * STARVED, exit=True, file=STANDARD_ERROR)
    yield
    faulthandler.cancel_dump_traceback_later()
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, 0)


class Memory:
    """A limit on the memory of this process, beyond what it uses now. Only for Linux.

    An allocation beyond the limit fails: the decoder raises MemoryError, or the process ends.
    Without a limit, the system would pick any process to kill.
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
    """Return what RLIMIT_DATA counts: this process's private memory, used or only reserved."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmData:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else None


def _claim_output() -> IO[bytes]:
    """Return the pipe for results, and discard everything that C libraries print."""
    results = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return results


def _reply(results: IO[bytes], message: object) -> None:
    pickle.dump(message, results, pickle.HIGHEST_PROTOCOL)
    results.flush()
