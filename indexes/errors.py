"""The error that a caller must expect from a file on disk."""


class DamagedIndex(Exception):
    """The file is missing, cut short, altered, or no index of ours. The remedy: build it again."""
