"""Errors of models. A message says what is wrong, which value, and what to do."""

import errno
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class ClipModelError(Exception):
    """The base of this package's errors."""


class ModelNotFound(ClipModelError):
    """There is no model with that name or path."""


class DownloadError(ClipModelError):
    """A file could not be downloaded, or arrived damaged."""


class CheckpointError(ClipModelError):
    """A file does not hold usable weights."""


class UnknownConfig(CheckpointError):
    """The weights alone do not reveal how their model computes."""


class TooManyOpenFiles(ClipModelError):
    """This process has reached its limit of open files; the files themselves may be fine."""

    def __init__(self, path: object) -> None:
        super().__init__(f"cannot open {path}: too many open files; raise `ulimit -n`")


class DeviceFaultKind(StrEnum):
    """What is wrong with a device, as far as it matters for what to do."""

    OUT_OF_MEMORY = "out_of_memory"  # fewer pictures at a time may fit
    LOST = "lost"  # it failed while it computed; a new process may find it in order
    BUSY = "busy"
    MISSING = "missing"
    UNSUPPORTED = "unsupported"  # by this build of torch
    OLD_DRIVER = "old_driver"


@dataclass(frozen=True, slots=True)
class DeviceFault:
    """What is wrong with a device, in words; see torch_backend/device_errors.py."""

    kind: DeviceFaultKind
    reason: str
    remedy: str

    @property
    def may_pass(self) -> bool:
        """Return whether a new process may succeed with the same device."""
        return self.kind in (DeviceFaultKind.LOST, DeviceFaultKind.BUSY)

    def line(self, device: str) -> str:
        """Return the line that a user is shown."""
        return f"cannot use {device} ({self.reason}); {self.remedy}"


class DeviceError(ClipModelError):
    """A device cannot be used, or failed while it computed. It can be sent between processes."""

    def __init__(self, device: str, fault: DeviceFault) -> None:
        super().__init__(device, fault)  # what pickle restores it from
        self.device, self.fault = device, fault

    def __str__(self) -> str:
        return self.fault.line(self.device)


def is_spent(error: BaseException) -> bool:
    """Return whether an error means too many open files. Some libraries hide the number."""
    return os.strerror(errno.EMFILE) in str(error)


def cannot_read(path: Path, error: OSError) -> ClipModelError:
    """Return the error for a file that cannot be read, whatever it contains."""
    if is_spent(error):
        return TooManyOpenFiles(path)
    return CheckpointError(f"{path} cannot be read: {error.strerror or error}")
