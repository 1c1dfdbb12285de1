"""Errors of models. A message says what is wrong, which value, and what to do."""

import errno
import os
from pathlib import Path


class ClipModelError(Exception):
    """The base of this package's errors."""


class ModelNotFound(ClipModelError, RuntimeError):
    """There is no model with that name or path. OpenAI's package raises a RuntimeError."""


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


def is_spent(error: BaseException) -> bool:
    """Return whether an error means too many open files. Some libraries hide the number."""
    return os.strerror(errno.EMFILE) in str(error)


def cannot_read(path: Path, error: OSError) -> ClipModelError:
    """Return the error for a file that cannot be read, whatever it contains."""
    if is_spent(error):
        return TooManyOpenFiles(path)
    return CheckpointError(f"{path} cannot be read: {error.strerror or error}")
