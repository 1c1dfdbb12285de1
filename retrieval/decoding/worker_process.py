"""A worker process, from inside: tasks come on its standard input, results go to its output.

Imports neither torch nor the caller's `__main__`, and ends when its pipe closes.
"""

import faulthandler
import importlib
import os
import pickle
import re
import sys
from pathlib import Path
from typing import IO

from retrieval.decoding import malloc
from retrieval.decoding.limits import memory_for
from retrieval.decoding.task import work

STANDARD_ERROR = 2  # by number: a process that was started without has no sys.stderr


def serve(seconds: float) -> None:
    """Work on tasks from standard input on standard output, until there are no more."""
    malloc.keep(malloc.WORKER_KEEPS_BYTES)
    tasks, results = sys.stdin.buffer, _claim_output()
    importlib.import_module("retrieval.decoding.decode")  # so that it is no part of the first task
    memory = Memory()
    _reply(results, None)
    while True:
        try:
            task = pickle.load(tasks)
        except EOFError:
            return
        memory.allow(memory_for(task.max_pixels))
        # Ends the process from outside the interpreter, so that a loop in C ends as well.
        faulthandler.dump_traceback_later(seconds, exit=True, file=STANDARD_ERROR)
        result = work(task)
        faulthandler.cancel_dump_traceback_later()
        _reply(results, result)


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
    """The pipe for the results; what C libraries print goes nowhere from here on."""
    results = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return results


def _reply(results: IO[bytes], message: object) -> None:
    pickle.dump(message, results, pickle.HIGHEST_PROTOCOL)
    results.flush()
