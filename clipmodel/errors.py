"""Errors of models. A message says what is wrong, which value, and what to do."""


class ClipModelError(Exception):
    """The base of this package's errors."""


class ModelNotFound(ClipModelError):
    """No model has that name or path."""


class DownloadError(ClipModelError):
    """A file could not be downloaded, or arrived damaged."""


class CheckpointError(ClipModelError):
    """A file does not hold usable weights."""


class UnknownConfig(CheckpointError):
    """The weights alone do not reveal how their model computes."""
