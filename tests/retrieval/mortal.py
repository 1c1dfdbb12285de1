"""Encoders that fail as devices do, in the processes of index runs."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import DeviceError, DeviceFault, DeviceFaultKind
from clipmodel.model_folder import ModelFolder
from retrieval.indexing.encoders.engine import LoadEncoder
from retrieval.indexing.encoding import Encoder
from retrieval.models.encoders import in_numpy
from tests.retrieval.small import SmallEncoder

How = Literal["killed", "lost", "missing", "mistaken", "stopped", "at its start"]
LOST = DeviceFault(DeviceFaultKind.LOST, "unspecified launch failure", "use --device cpu")
MISSING = DeviceFault(DeviceFaultKind.MISSING, "there is no such device", "see `retrieve devices`")


class MortalEncoder:
    """An encoder that fails at a batch."""

    def __init__(self, encoder: Encoder, how: How, at: int) -> None:
        self._encoder = encoder
        self._how, self._left = how, at
        self.precision, self.slots = encoder.precision, encoder.slots
        self.batch_size = encoder.batch_size

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self._left -= 1
        if self._left < 0:
            fail(self._how)
        return self._encoder.encode(pixels)


@dataclass(frozen=True)
class Mortal:
    """Loads an encoder that fails at its batch `at`, the first `deaths` times that it is loaded.

    folder: remembers how often that was.
    """

    folder: Path
    how: How
    deaths: int = 1
    at: int = 1

    def __call__(self) -> Encoder:
        return self.loaded(SmallEncoder)

    def loaded(self, load: LoadEncoder) -> Encoder:
        """Return an encoder, which fails if it is its turn."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / str(os.getpid())).touch()
        if self.starts > self.deaths:
            return load()
        if self.how == "at its start":
            fail("killed")
        return MortalEncoder(load(), self.how, self.at)

    @property
    def starts(self) -> int:
        return len(os.listdir(self.folder))


@dataclass(frozen=True)
class MortalDevice:
    """Loads the encoders of a whole program, in place of `retrieval.indexing.start._encoder`."""

    mortal: Mortal

    def __call__(self, model: ModelFolder, device: str | None, precision: str) -> Encoder:
        return self.mortal.loaded(partial(in_numpy, model))


def fail(how: How) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "stopped":  # as one whose driver hangs
        os.kill(os.getpid(), signal.SIGSTOP)
        return
    if how == "mistaken":
        raise RuntimeError("shapes of (2, 3) and (4, 5) do not fit")
    raise DeviceError("cuda:0", LOST if how == "lost" else MISSING)


def is_there(pid: int) -> bool:
    """Return whether a process has not ended."""
    return _state(pid) not in ("", "Z", "X")


def stopped(pid: int) -> bool:
    return _state(pid) == "T"


def _state(pid: int) -> str:
    """Return the letter that proc(5) has for a process, or none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


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
