"""Filters → the images that a search may find, as ids or as conditions. The vector search itself
uses them, so a filtered answer is as exact as any other.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.conditions import holds, in_sql
from retrieval.catalog.presence import living
from retrieval.catalog.reading import Catalog
from retrieval.errors import PathNotFound
from retrieval.filters import Condition, Filters, conditions_of
from retrieval.paths import composed, folded, place, relative, spellings, with_home

MIN_NAME_SIMILARITY = 0.6  # of a suggested name, by difflib

Ids = NDArray[np.int64]
Place = tuple[int, bytes]  # root id, and a path relative to the root
Folder = str | os.PathLike[str]


class Selection:
    """The images that a search may find."""

    def __init__(
        self,
        find: Callable[[], Ids],
        conditions: tuple[Condition, ...] | None = None,
        places: tuple[Place, ...] | None = None,
    ) -> None:
        """find: returns the sorted ids. conditions and places say the same for a store that renders
        them: an image has to meet all conditions and, unless places is None, to have a file at or
        below one of the places. conditions None: only the ids tell.
        """
        self._find = find
        self.conditions = conditions
        self.places = places

    @cached_property
    def ids(self) -> Ids:
        """The sorted ids. Raises PathNotFound if a folder is unknown."""
        return self._find()

    @classmethod
    def of(cls, ids: Ids) -> "Selection":
        """Return the selection of these images, sorted."""
        return cls(lambda: ids)


def selected(catalog: Catalog, filters: Filters) -> Selection | None:
    """Return the images that pass the filters; None if there are no filters. Raises InvalidQuery.

    A folder that is given by the end of its path can only be found by comparing all paths.
    """
    if not filters:
        return None
    conditions, places = conditions_of(filters), None
    if filters.folder is not None:
        places = tuple(catalog.places.known_at(with_home(filters.folder)))

    def find() -> Ids:
        ids = chosen(catalog, filters)
        assert ids is not None
        return ids

    return Selection(find, None if places == () else conditions, places)


def chosen(catalog: Catalog, filters: Filters) -> Ids | None:
    """Return the sorted ids of the images that pass the filters; None if there are no filters.

    Raises PathNotFound if the folder is unknown.
    """
    held = conditions_of(filters)
    matching = _ids_where(catalog, held) if held else None
    if filters.folder is None:
        return matching
    inside = ids_in(catalog, filters.folder)
    return inside if matching is None else inside[np.isin(inside, matching, assume_unique=True)]


def ids_in(catalog: Catalog, folder: Folder) -> Ids:
    """Return the sorted ids of the images in or below a folder.

    folder: a path, or as a str also the end of a known folder's path. Raises PathNotFound if it is
    unknown.
    """
    path = with_home(folder)
    ids = catalog.places.ids_under(path)
    if not len(ids) and isinstance(folder, str):
        ids = _ids_in_named(catalog, folder)
    if not len(ids):
        roots = [root.path for root in catalog.roots()]
        is_outside = all(relative(root, one) is None for one in spellings(path) for root in roots)
        if is_outside or not os.path.exists(path):
            hint = _hint(catalog, folder) or "; `retrieve status` lists the folders"
            raise PathNotFound(f"the folder {folder} is not in the library{hint}")
    return ids


def first_in(paths: Sequence[Path], folder: Folder | None = None) -> Path:
    """Return the copy of an image to show: of those that exist (or of all, if none does), the first
    in this folder, as `ids_in` understands it.
    """
    paths = living(paths)
    if folder is None:
        return paths[0]
    spelled = spellings(with_home(folder))
    exact = [path for path in paths if any(path.is_relative_to(one) for one in spelled)]
    within = [path for path in paths if any(relative(one, path) is not None for one in spelled)]
    named = [path for path in paths if _named(os.fspath(folder)) in _ended(path.parent)]
    return (exact or within or named or list(paths))[0]


def folder_names(catalog: Catalog) -> set[str]:
    """Return the names of the roots, and of all folders below them that contain files."""
    names = {root.path.name for root in catalog.roots()}
    folders = {path.rpartition(b"/")[0] for (path,) in catalog.rows("SELECT path FROM files")}
    names.update(os.fsdecode(name) for folder in folders for name in folder.split(b"/"))
    return names - {""}


def _ids_where(catalog: Catalog, conditions: Sequence[Condition]) -> Ids:
    condition, parameters = in_sql(conditions)
    found = "SELECT images.id FROM images LEFT JOIN shots ON shots.image_id = images.id"
    return catalog.ids(f"{found} WHERE {condition} ORDER BY images.id", parameters)


def _ids_in_named(catalog: Catalog, folder: str) -> Ids:
    """Return the images in folders whose path ends with this name, ignoring case.

    The name may begin above a root.
    """
    named = _named(folder)
    if not named.isascii():
        return np.unique(np.fromiter(_ids_in_accented(catalog, named), np.int64))
    parts = [np.empty(0, np.int64)]
    path = f"lower({catalog.database.as_text('? || path')})"
    condition, values = holds(path, named)
    found = f"""SELECT DISTINCT image_id FROM files WHERE root_id = ? AND image_id IS NOT NULL
        AND {condition}"""
    for root in catalog.roots():
        above = os.fsencode(f"{root.path.as_posix()}/")
        parts.append(catalog.ids(found, (root.id, above, *values)))
    return np.unique(np.concatenate(parts))


def _ids_in_accented(catalog: Catalog, named: str) -> Iterator[int]:
    """Yield the images in folders whose path ends with this name beyond ASCII: SQLite knows neither
    its upper case nor its two Unicode forms.
    """
    found = "SELECT image_id, path FROM files WHERE root_id = ? AND image_id IS NOT NULL"
    for root in catalog.roots():
        is_named: dict[bytes, bool] = {}
        for image_id, path in catalog.rows(found, (root.id,)):
            folder = path.rpartition(b"/")[0]
            if folder not in is_named:
                is_named[folder] = named in _ended(place(root.path, folder))
            if is_named[folder]:
                yield image_id


def _hint(catalog: Catalog, folder: Folder) -> str:
    """Suggest a folder with a similar name; empty if there is none."""
    import difflib

    wanted = folded(os.fspath(folder).rstrip("/").rpartition("/")[2])
    names = {folded(name): composed(name) for name in sorted(folder_names(catalog))}
    near = difflib.get_close_matches(wanted, names, 1, MIN_NAME_SIMILARITY)
    return f"; did you mean “{names[near[0]]}”?" if near else ""


def _named(folder: str) -> str:
    return f"/{folded(folder.strip('/'))}/"


def _ended(folder: Path) -> str:
    return folded(f"{folder.as_posix()}/")
