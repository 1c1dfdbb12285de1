"""What can go wrong with a model; a message says what, which value, and the remedy."""

import errno
import os
from pathlib import Path


class ClipModelError(Exception):
    """The root of this package's errors."""


class ModelNotFound(ClipModelError):
    """There is no model of that name or path here."""


class DownloadError(ClipModelError):
    """A file could not be fetched, or came damaged."""


class CheckpointError(ClipModelError):
    """A file holds no weights that can be used."""


class UnknownConfig(CheckpointError):
    """Weights alone do not say how their model computes."""


class TooManyOpenFiles(ClipModelError):
    """The system gives this process no more files. Nothing is wrong with those that it has."""

    def __init__(self, path: object) -> None:
        super().__init__(f"cannot open {path}: too many open files; raise `ulimit -n`")


def is_spent(error: BaseException) -> bool:
    """Whether there were no more files to be had. Not everybody passes the number on."""
    return os.strerror(errno.EMFILE) in str(error)


def cannot_read(path: Path, error: OSError) -> ClipModelError:
    """What the system says is about the file's place, not about what is in it."""
    if is_spent(error):
        return TooManyOpenFiles(path)
    return CheckpointError(f"{path} cannot be read: {error.strerror or error}")
