"""Browsing without a query: the newest pictures, the folders, cameras and formats."""

import os
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen
from retrieval.filters import Filters


@dataclass(frozen=True, slots=True)
class Facets:
    """Values that pictures can be filtered by, each with its number of images."""

    cameras: tuple[tuple[str, int], ...]  # most frequent first
    formats: tuple[tuple[str, int], ...]
    first: str | None  # ISO 8601, when the oldest was taken
    last: str | None  # … and the newest


def version(catalog: Catalog) -> int:
    """Return a number that changes at least when pictures are added or removed."""
    if (changes := catalog.database.changes()) is not None:
        return changes
    counted = "SELECT (SELECT max(id) FROM images), count(*) FROM files"  # ids are never reused
    [(last, files)] = catalog.rows(counted)
    model = catalog.current_model()
    embedded = catalog.embeddings.count(model.id) if model else 0
    return zlib.crc32(repr((last, files, embedded, model and model.id)).encode())


def newest_first(catalog: Catalog, filters: Filters, pairs: bool = True) -> NDArray[np.int64]:
    """Return the ids of the images that pass the filters and have a file, newest first.

    pairs: leave out a raw file where its JPEG is among them. Raises PathNotFound if the folder is
    unknown.
    """
    # By the database, so that file times (local) and dates taken sort together as text.
    date = f"coalesce(substr(taken_at, 1, 19), {catalog.database.local_time('min(mtime_ns)')})"
    ids = catalog.ids(
        "SELECT images.id FROM images JOIN files ON files.image_id = images.id "
        f"GROUP BY images.id ORDER BY {date} DESC, images.id"
    )
    allowed = chosen(catalog, filters)
    ids = ids if allowed is None else ids[np.isin(ids, allowed)]
    if not pairs or not catalog.other_files.has_pairs():
        return ids
    here = set(ids.tolist())
    folded = [own for own, main in catalog.other_files.folded().items() if main in here]
    return ids[~np.isin(ids, folded)]


def folders(catalog: Catalog, limit: int) -> list[tuple[Path, int]]:
    """Return the `limit` folders with the most pictures in or below them, and how many, by path."""
    counts: Counter[str] = Counter()
    for root in catalog.roots():
        inside: Counter[bytes] = Counter()
        for (path,) in catalog.rows(
            "SELECT path FROM files WHERE root_id = ? AND image_id IS NOT NULL", (root.id,)
        ):
            inside[os.path.dirname(path)] += 1
        for folder, files in inside.items():
            while True:
                counts[os.path.join(root.path, os.fsdecode(folder))] += files
                if not folder:
                    break
                folder = os.path.dirname(folder)
    return sorted((Path(folder), files) for folder, files in counts.most_common(limit))


def facets(catalog: Catalog) -> Facets:
    def counted(column: str, table: str) -> tuple[tuple[str, int], ...]:
        found = f"SELECT {column}, count(*) FROM {table} WHERE {column} <> '' GROUP BY {column}"
        return tuple(catalog.rows(f"{found} ORDER BY count(*) DESC, {column}"))

    [(first, last)] = catalog.rows("SELECT min(taken_at), max(taken_at) FROM images")
    return Facets(counted("camera", "shots"), counted("format", "images"), first, last)
