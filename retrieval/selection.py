"""Filters → the ids of the images that a search may find. They go into the vector search itself,
so that a filtered answer is as exact as any other.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog import Catalog
from retrieval.errors import PathNotFound
from retrieval.filters import Filters
from retrieval.paths import spellings
from retrieval.presence import living

Ids = NDArray[np.int64]
Folder = str | os.PathLike[str]


def chosen(catalog: Catalog, filters: Filters) -> Ids | None:
    """Sorted; None where any image will do. Raises PathNotFound for a folder nobody knows."""
    held = filters.condition()
    matching = None if held is None else _ids_where(catalog, *held)
    if filters.folder is None:
        return matching
    inside = ids_in(catalog, filters.folder)
    return inside if matching is None else inside[np.isin(inside, matching, assume_unique=True)]


def ids_in(catalog: Catalog, folder: Folder) -> Ids:
    """The images in or below a folder: a path, or (a str) what the path of known folders ends in.

    Sorted. Raises PathNotFound.
    """
    path = Path(folder).expanduser()
    ids = catalog.ids_under(path)
    if not len(ids) and isinstance(folder, str):
        ids = _ids_in_named(catalog, folder)
    if not len(ids):
        roots = [root.path for root in catalog.roots()]
        if not any(one.is_relative_to(root) for one in spellings(path) for root in roots):
            raise PathNotFound(f"{folder} is not in the library; `retrieve status` lists what is")
        if not path.exists():
            raise PathNotFound(f"no such folder: {folder}")
    return ids


def first_in(paths: Sequence[Path], folder: Folder | None = None) -> Path:
    """The copy of an image to show: of those that are there, or of all where none is, the first
    that lies in what `ids_in` takes this folder to be.
    """
    paths = living(paths)
    if folder is None:
        return paths[0]
    spelled = spellings(Path(folder).expanduser())
    within = [path for path in paths if any(path.is_relative_to(one) for one in spelled)]
    named = [path for path in paths if _named(os.fspath(folder)) in _lower(path.parent)]
    return (within or named or list(paths))[0]


def _ids_where(catalog: Catalog, condition: str, parameters: Sequence[Any]) -> Ids:
    found = "SELECT images.id FROM images LEFT JOIN shots ON shots.image_id = images.id"
    return catalog.ids(f"{found} WHERE {condition} ORDER BY images.id", parameters)


def _ids_in_named(catalog: Catalog, folder: str) -> Ids:
    """Of folders whose path ends so, in any case (of ASCII); it may begin above a root."""
    parts = [np.empty(0, np.int64)]
    path = "CAST(CAST(? || path AS BLOB) AS TEXT)"  # names need not be text, but SQLite takes them
    found = f"""SELECT DISTINCT image_id FROM files WHERE root_id = ? AND image_id IS NOT NULL
        AND instr(lower({path}), lower(CAST(? AS TEXT))) > 0"""
    for root in catalog.roots():
        above = os.fsencode(f"{root.path.as_posix()}/")
        parts.append(catalog.ids(found, (root.id, above, os.fsencode(_named(folder)))))
    return np.unique(np.concatenate(parts))


def _named(folder: str) -> str:
    return f"/{folder.strip('/').lower()}/"


def _lower(folder: Path) -> str:
    return f"{folder.as_posix()}/".lower()
