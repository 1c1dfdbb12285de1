"""The error of index files, which callers must expect."""


class DamagedIndex(Exception):
    """The file is missing, truncated, altered, or not one of our indexes; build it again."""
