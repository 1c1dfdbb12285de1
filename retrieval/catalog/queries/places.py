"""Queries about paths: the roots, files and images that they stand for, in any spelling."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.address import RemotePath
from retrieval.catalog.conditions import under
from retrieval.catalog.queries.files import Files
from retrieval.catalog.queries.reader import Reader
from retrieval.paths import composed, relative, spellings
from retrieval.records import Root, found_at

PLAIN = bytes(range(128))  # ASCII


class Places:
    """The paths that a catalog knows, by root."""

    def __init__(self, reader: Reader, files: Files) -> None:
        self._reader = reader
        self._files = files

    def around(self, path: Path) -> list[Root]:
        """Return the roots that contain an absolute path, or lie in it, the deepest first.

        Roots that match only in another Unicode form are returned only if there are no others.
        """
        roots = sorted(self._reader.roots(), key=lambda root: len(root.path.parts), reverse=True)
        near = [
            root
            for root in roots
            if relative(root.path, path) is not None or relative(path, root.path) is not None
        ]
        exact = [r for r in near if path.is_relative_to(r.path) or r.path.is_relative_to(path)]
        return exact or near

    def of(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Yield the places that `path` may mean: (root id, relative path), deepest root first."""
        for spelling in spellings(path):
            yield from self._places_of(spelling)

    def known_as(self, root_id: int, inside: bytes) -> list[bytes]:
        """Return the stored spellings of a path relative to a root: the same Unicode form if a file
        is known by it, else other forms; unchanged if nothing is known there.
        """
        if inside.isascii() or self._files.has_any(root_id, inside):
            return [inside]
        same, depth = composed(os.fsdecode(inside)), inside.count(b"/") + 1
        plain = inside[: len(inside) - len(inside.lstrip(PLAIN))][:-1]  # the same in every form
        begins = "SELECT path FROM files WHERE root_id = ? AND path >= ? AND path < ?"
        end = plain[:-1] + bytes([plain[-1] + 1]) if plain else b"\xff" * 256
        rows = self._reader.rows(begins, (root_id, plain, end))
        names = {b"/".join(path.split(b"/")[:depth]) for (path,) in rows}
        return sorted(n for n in names if composed(os.fsdecode(n)) == same) or [inside]

    def image_of_path(self, path: Path) -> int | None:
        """Return the image in a known file if the file has not changed since; else None."""
        try:
            found = found_at(b"", path.stat())
        except (OSError, ValueError):
            return None
        same = (
            "root_id = ? AND path = ? AND size = ? AND mtime_ns = ? AND image_id IS NOT NULL "
            "AND coalesce(ctime_ns, ?) = ? AND coalesce(inode, ?) = ?"
        )
        _, size, mtime_ns, ctime_ns, inode = found
        status = (size, mtime_ns, ctime_ns, ctime_ns, inode, inode)
        for root_id, inside in self.of(path):
            at = (root_id, inside, *status)
            if rows := self._reader.rows(f"SELECT image_id FROM files WHERE {same}", at):
                return int(rows[0][0])
        return None

    def image_at(self, path: Path) -> int | None:
        """Return the image known at an absolute path, without looking at the file; else None."""
        at = "SELECT image_id FROM files WHERE root_id = ? AND path = ?"
        written = path if isinstance(path, RemotePath) else Path(os.path.normpath(path))
        for known in self._places_of(written):
            if (rows := self._reader.rows(at, known)) and rows[0][0] is not None:
                return int(rows[0][0])
        return None

    def is_as_indexed(self, path: Path, status: os.stat_result) -> bool:
        """Return whether a file has the size and times that it had when it was indexed."""
        same = "root_id = ? AND path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        found = f"SELECT EXISTS (SELECT 1 FROM files WHERE {same})"
        return any(
            self._reader.number(found, (root_id, *found_at(inside, status)[:4]))
            for root_id, inside in self.of(path)
        )

    def known_at(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Yield the places (root id, relative path) with known files that `path` may mean."""
        for spelling in spellings(path):
            for root in self.around(spelling):
                inside = relative(root.path, spelling) or b""
                for known in self.known_as(root.id, inside):
                    if self._files.has_any(root.id, known):
                        yield root.id, known

    def ids_under(self, folder: Path) -> NDArray[np.int64]:
        """Return the sorted ids of the images in or under `folder`, or in the file `folder`."""
        parts = [self._ids(root_id, known) for root_id, known in self.known_at(folder)]
        return np.unique(np.concatenate([np.empty(0, np.int64), *parts]))

    def _places_of(self, path: Path) -> Iterator[tuple[int, bytes]]:
        for root in self.around(path):
            if inside := relative(root.path, path):
                yield from ((root.id, known) for known in self.known_as(root.id, inside))

    def _ids(self, root_id: int, inside: bytes) -> NDArray[np.int64]:
        condition, values = under(inside)
        found = f"SELECT image_id FROM files WHERE root_id = ? AND {condition}"
        return self._reader.ids(found + " AND image_id IS NOT NULL", (root_id, *values))
