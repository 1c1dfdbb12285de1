"""Location of the library: the one named, the nearest at or above this folder, or the user's."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from retrieval.errors import InvalidValue
from retrieval.paths import with_home
from retrieval.values import check_path

VARIABLE = "RETRIEVE_LIBRARY"
BESIDE = ".retrieve"  # the library of the folder of pictures that contains it
INDEX_FILE = "vectors-{}.faiss"  # with the first letters of its model's digest


URL = re.compile(r"([a-z][a-z0-9]+)(?:\+[a-z0-9]+)?:/", re.IGNORECASE)
# In a URL: behind the user's name, up to the last "@", or a parameter.
PASSWORD = re.compile(r"(?<=://)([^:@/?#]*):.*(?=@)|(?<=password=)[^&]*", re.DOTALL)


@dataclass(frozen=True)
class DatabaseURL:
    """The address of a library in PostgreSQL. Its text and its repr have no password."""

    secret: str = field(repr=False)  # as libpq takes it, perhaps with a password

    def __str__(self) -> str:
        return PASSWORD.sub(lambda found: found[1] or "", self.secret)

    def __repr__(self) -> str:
        return f"DatabaseURL({str(self)!r})"


Place: TypeAlias = Path | DatabaseURL


def library_place(named: str | os.PathLike[str] | DatabaseURL | None = None) -> Place:
    """Return the place of the library: `named` (a folder, or a postgresql:// URL), else that of
    $RETRIEVE_LIBRARY, else the nearest `.retrieve/` at or above the current folder, else `retrieve`
    in the platform's data folder. It need not exist. Raises InvalidValue for another kind of URL.
    """
    if isinstance(named, DatabaseURL):
        return named
    if named := named or os.environ.get(VARIABLE):
        check_path(named)
        return _url(os.fspath(named)) or _within(with_home(named))
    return _nearest() or _own()


def local_folder(place: Place) -> Path:
    """Return the folder on this machine that keeps a library's index and thumbnails."""
    if isinstance(place, Path):
        return place
    import hashlib

    import platformdirs

    cache = platformdirs.user_cache_path("retrieve", appauthor=False)
    return cache / "libraries" / hashlib.blake2b(str(place).encode(), digest_size=10).hexdigest()


def _url(named: str) -> DatabaseURL | None:
    """Return the URL of a database; None for a folder."""
    if not (found := URL.match(named)) or os.path.exists(named):
        return None
    if found[1].lower() not in ("postgresql", "postgres"):
        raise InvalidValue(
            f"a library is a folder or a postgresql:// URL, not {DatabaseURL(named)}"
        )
    return DatabaseURL("postgresql://" + named[found.end() :].removeprefix("/"))


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
