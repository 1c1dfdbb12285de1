"""Timing of repeated calls, and of processes with their memory."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLES_A_SECOND = 50


@dataclass(frozen=True)
class Times:
    """The seconds of repeated calls."""

    seconds: tuple[float, ...]

    @property
    def p50(self) -> float:
        return float(np.percentile(self.seconds, 50))

    @property
    def p99(self) -> float:
        return float(np.percentile(self.seconds, 99))


def repeat(call: Callable[[], object], times: int) -> Times:
    """Return the seconds of each of `times` calls, after one that does not count."""
    call()
    return Times(tuple(once(call) for _ in range(times)))


def once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def steady(call: Callable[[], object], least: float) -> float:
    """Return seconds per call, over calls that take at least that long, after a warm-up."""
    call()
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < least or not calls:
        call()
        calls += 1
    return passed / calls


@dataclass(frozen=True)
class Ran:
    """The measurements of a process that ended."""

    seconds: float
    output: str
    resident: int | None  # bytes, at most, of the process itself, mapped files included
    own: int | None  # bytes, at most, that no file backs, of it and its children; None: no /proc


def run(command: Sequence[str], folder: Path | None = None, **variables: str) -> Ran:
    """Run a program to its end, in a folder, with these environment variables added.

    Raises Failed with the program's output.
    """
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        memory = Memory(process.pid)
        memory.start()
        output, errors = process.communicate()
        seconds = time.perf_counter() - start
        memory.join()
    if process.returncode:
        raise Failed(f"{' '.join(command)} ended with {process.returncode}:\n{errors[-4000:]}")
    return Ran(seconds, output, memory.resident or None, memory.own or None)


class Failed(Exception):
    """The error of a measured program that failed."""


def retrieve(*arguments: str | Path, **variables: str) -> Ran:
    """Run our own command line in a new process."""
    program = Path(sys.executable).with_name("retrieve")
    return run([str(program), *map(str, arguments)], None, **variables)


class Memory(threading.Thread):
    """A thread that records the memory of a process and its children; Linux only, else zeros."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.resident = self.own = 0

    def run(self) -> None:
        while status := fields(self.pid, "status"):
            held = [status, *(fields(child, "status") for child in descendants(self.pid))]
            self.resident = max(self.resident, status.get("VmHWM", 0))
            self.own = max(self.own, sum(each.get("RssAnon", 0) for each in held))
            if status.get("VmHWM") is None:  # a zombie: it has ended
                return
            time.sleep(1 / SAMPLES_A_SECOND)


def fields(pid: int, name: str) -> dict[str, int]:
    """Return the sizes in /proc/PID/status, in bytes; empty if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/{name}").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {key.rstrip(":"): 1024 * int(kilobytes) for key, kilobytes, _ in pairs} or {"ended": 1}


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    found: list[int] = []
    with suppress(OSError):  # it has just ended
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):  # this thread has ended; others may have children
                found += map(int, children.read_text().split())
    return found + [each for child in found for each in descendants(child)]
