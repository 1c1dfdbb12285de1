"""A worker process, from inside: it reads tasks from standard input and writes results.

A message has some tasks, each with its slots for pixels in the memory that processes share; results
may wait a little for others. A crash costs one file. Imports neither torch nor the
caller's `__main__`, and ends when its pipe closes.
"""

import faulthandler
import importlib
import os
import pickle
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from retrieval.decoding import malloc
from retrieval.decoding.limits import STARVED, memory_for
from retrieval.decoding.ring.memory import Cells, Pixels, SharedSlots
from retrieval.decoding.ring.messages import Placed, packed, write, write_later
from retrieval.decoding.task import Task, TaskResult, work

STANDARD_ERROR = 2  # a number, as sys.stderr may be None


FLUSH_SECONDS = 0.005  # that a result may wait for others, with a cell to tell which was the last


def serve(
    seconds: float,
    shared: SharedSlots | None = None,
    cell: int = 0,
    work: Callable[[Task], TaskResult] = work,
) -> None:
    """Do tasks from standard input until it ends; write results to standard output.

    seconds: of processor time for a task. shared: slots for pixels, and the cells, of which one is
    this worker's; without, pixels go through the pipe, and each result at once. work: does a task.
    """
    malloc.keep(malloc.WORKER_KEEPS_BYTES)
    tasks, results = sys.stdin.buffer, claim_output()
    end_with(tasks)
    importlib.import_module("retrieval.decoding.decode")  # not timed with the first task
    slots, steps = _mapped(shared, cell)
    memory = Memory()
    write(results, None)
    while True:
        try:
            given: list[tuple[Task, Sequence[int]]] = pickle.load(tasks)
        except EOFError:
            return
        flushed = time.monotonic()
        for task, numbers in given:
            steps[0] += 1  # odd now: at work
            memory.allow(memory_for(task.max_pixels))
            with _within(seconds * task.patience):
                result = work(task)
            write_later(results, packed(result, Store(slots, numbers)))
            steps[0] += 1
            if slots is None or time.monotonic() > flushed + FLUSH_SECONDS:
                results.flush()
                flushed = time.monotonic()
        results.flush()


def _mapped(shared: SharedSlots | None, cell: int) -> tuple[Pixels | None, Cells]:
    """Return the slots, and the worker's own cell, (1,)."""
    if shared is None:
        return None, np.zeros(1, np.int64)
    slots, cells = shared.mapped()
    return slots, cells[cell : cell + 1]


class Store:
    """Puts the pixels of one task into its slots, the first ones first."""

    def __init__(self, slots: Pixels | None, numbers: Sequence[int]) -> None:
        self._slots = slots  # (N, S, S, 3)
        self._numbers = numbers
        self._used = 0

    def __call__(self, pixels: Pixels) -> Placed:
        """Return which of the slots has the pixels now; the pixels if none is left or fits."""
        place, slots = self._used, self._slots
        if slots is None or place == len(self._numbers) or pixels.shape != slots.shape[1:]:
            return pixels
        slots[self._numbers[place]] = pixels
        self._used += 1
        return place


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


def end_with(pipe: IO[bytes]) -> None:
    """End this process, whatever it is at, once nobody can write to a pipe any more: who started it
    has ended, perhaps by a kill -9, and a picture may take minutes.
    """
    if os.name == "posix":  # other systems cannot poll a pipe
        threading.Thread(target=_wait_for_end, args=(pipe.fileno(),), daemon=True).start()


def _wait_for_end(pipe: int) -> None:
    waiting = select.poll()
    waiting.register(pipe, 0)  # for nothing but its end
    waiting.poll()
    os._exit(0)


def claim_output() -> IO[bytes]:
    """Return the pipe for results, and discard everything that C libraries print."""
    results = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return results
