"""Which library is meant: the one that was named, the nearest one upwards, or the user's own."""

import os
from pathlib import Path

from retrieval.paths import with_home

VARIABLE = "RETRIEVE_LIBRARY"
BESIDE = ".retrieve"  # the library of the folder of pictures that it lies in
INDEX_FILE = "vectors-{}.faiss"  # of a model, by its digest's first letters


def library_folder(named: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the library: `named`, else $RETRIEVE_LIBRARY, else the nearest `.retrieve/` at
    or above the current folder, else `retrieve` in the platform's data folder. It need not exist.
    """
    if named := named or os.environ.get(VARIABLE):
        return _within(with_home(named))
    return _nearest() or _own()


def beside(pictures: Path) -> Path:
    """The library that moves with this folder of pictures."""
    return pictures / BESIDE


def _within(named: Path) -> Path:
    """`named`, or the library beside the pictures in it where it is a folder of pictures."""
    holds_one = not (named / FILE_NAME).exists() and beside(named).is_dir()
    return Path(os.path.abspath(beside(named) if holds_one else named))


def _nearest() -> Path | None:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the current folder was removed
        return None
    return next((beside(up) for up in (here, *here.parents) if beside(up).is_dir()), None)


def _own() -> Path:
    import platformdirs  # 20 ms, for who named no library

    return Path(platformdirs.user_data_dir("retrieve", appauthor=False))


FILE_NAME = "catalog.sqlite"
