"""Encoders that fail as devices do, in the processes of index runs."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import DeviceError, DeviceFault, DeviceFaultKind
from tests.retrieval.small import SmallEncoder

How = Literal["killed", "lost", "missing", "mistaken", "at its start"]
LOST = DeviceFault(DeviceFaultKind.LOST, "unspecified launch failure", "use --device cpu")
MISSING = DeviceFault(DeviceFaultKind.MISSING, "there is no such device", "see `retrieve devices`")


class MortalEncoder(SmallEncoder):
    """A small encoder that fails at a batch."""

    def __init__(self, how: How, at: int) -> None:
        super().__init__()
        self._how, self._left = how, at

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._left -= 1
        if self._left < 0:
            fail(self._how)
        return super().encode(pixels)


@dataclass(frozen=True)
class Mortal:
    """Loads an encoder that fails at its batch `at`, the first `deaths` times that it is loaded.

    folder: remembers how often that was.
    """

    folder: Path
    how: How
    deaths: int = 1
    at: int = 1

    def __call__(self) -> SmallEncoder:
        self.folder.mkdir(exist_ok=True)
        (self.folder / str(os.getpid())).touch()
        if self.starts > self.deaths:
            return SmallEncoder()
        if self.how == "at its start":
            fail("killed")
        return MortalEncoder(self.how, self.at)

    @property
    def starts(self) -> int:
        return len(os.listdir(self.folder))


def fail(how: How) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "mistaken":
        raise RuntimeError("shapes of (2, 3) and (4, 5) do not fit")
    raise DeviceError("cuda:0", LOST if how == "lost" else MISSING)


_before = set[int]()  # children of earlier tests, such as those of a server that is still open


def forget_children() -> None:
    """Leave out from now on the children that there are."""
    _before.update(children())


def children(*names: str) -> list[int]:
    """Return this process's children, of which the command line has one of these names."""
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    pids = [int(pid) for task in tasks for pid in task.read_text().split()]
    return [pid for pid in pids if pid not in _before and (not names or _is_one(pid, names))]


def maps_of_rings() -> list[str]:
    """Return the lines of this process's memory that belong to slots for pixels."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if "retrieve-pixels" in line]


def _is_one(pid: int, names: Sequence[str]) -> bool:
    try:
        said = Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False
    return any(name in said for name in names)
