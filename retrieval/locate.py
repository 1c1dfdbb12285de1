"""Location of the library: the one named, the nearest at or above this folder, or the user's."""

import os
from pathlib import Path

from retrieval.paths import with_home

VARIABLE = "RETRIEVE_LIBRARY"
BESIDE = ".retrieve"  # the library of the folder of pictures that contains it
INDEX_FILE = "vectors-{}.faiss"  # with the first letters of its model's digest


def library_folder(named: str | os.PathLike[str] | None = None) -> Path:
    """Return the library's folder: `named`, else $RETRIEVE_LIBRARY, else the nearest `.retrieve/`
    at or above the current folder, else `retrieve` in the platform's data folder. It need not
    exist.
    """
    if named := named or os.environ.get(VARIABLE):
        return _within(with_home(named))
    return _nearest() or _own()


def beside(pictures: Path) -> Path:
    """Return the place of the library that moves with this folder of pictures."""
    return pictures / BESIDE


def _within(named: Path) -> Path:
    """Return `named`, or the library inside it if it is a folder of pictures."""
    holds_one = not (named / FILE_NAME).exists() and beside(named).is_dir()
    return Path(os.path.abspath(beside(named) if holds_one else named))


def _nearest() -> Path | None:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the current folder was removed
        return None
    return next((beside(up) for up in (here, *here.parents) if beside(up).is_dir()), None)


def _own() -> Path:
    import platformdirs  # 20 ms, needed only if no library was named

    return Path(platformdirs.user_data_dir("retrieve", appauthor=False))


FILE_NAME = "catalog.sqlite"
