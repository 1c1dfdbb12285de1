"""What can go wrong with a model; a message says what, which value, and the remedy."""


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
