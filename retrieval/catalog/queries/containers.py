"""Queries about containers, and about where the bytes of a picture are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from retrieval.address import RemotePath
from retrieval.catalog.conditions import under
from retrieval.catalog.database import chunks, marks
from retrieval.catalog.queries.places import Places
from retrieval.catalog.queries.reader import Reader
from retrieval.records import Root
from retrieval.sources.container import Container, at_and_above
from retrieval.sources.entry import Entry, Part

COLUMNS = "root_id, path, kind, size, mtime_ns, ctime_ns, options"


class Containers:
    """The containers of a catalog: files whose members are pictures."""

    def __init__(self, reader: Reader, places: Places) -> None:
        self._reader = reader
        self._places = places

    def all(self) -> list[Container]:
        """Return all containers, sorted by root and path."""
        rows = self._reader.rows(f"SELECT {COLUMNS} FROM containers ORDER BY root_id, path")
        return [Container(*row) for row in rows]

    def within(self, root_id: int, inside: bytes = b"") -> list[Container]:
        """Return the containers at or under a path in a root, sorted by path."""
        condition, values = under(inside)
        found = f"SELECT {COLUMNS} FROM containers WHERE root_id = ? AND {condition} ORDER BY path"
        return [Container(*row) for row in self._reader.rows(found, (root_id, *values))]

    def image_of_member(self, path: Path) -> int | None:
        """Return the image known at an absolute path, if that is a member of a container, or an
        address.
        """
        if isinstance(path, RemotePath):
            return self._places.image_at(path)
        held = {(each.root_id, each.path) for each in self.all()}
        for root_id, inside in self._places.of(path) if held else ():
            above = ((root_id, each) for each in at_and_above(inside) if each != inside)
            if not held.isdisjoint(above):
                return self._places.image_at(path)
        return None

    def versions(self, root_id: int, inside: bytes) -> dict[bytes, str]:
        """Return the versions of what lies at addresses, by path, of images at or under a path."""
        condition, values = under(inside)
        found = f"SELECT path, version FROM files WHERE root_id = ? AND {condition} "
        held = "AND version IS NOT NULL AND image_id IS NOT NULL"
        return dict(self._reader.rows(found + held, (root_id, *values)))

    def entries(self, ids: Sequence[int]) -> dict[int, list[Entry]]:
        """Return where the bytes of each of these images are, of every copy, sorted by path."""
        roots = {root.id: root for root in self._reader.roots()}
        containers = {(each.root_id, each.path): each for each in self.all()}
        files: dict[int, list[Entry]] = {}
        for chunk in chunks([int(id) for id in ids]):
            columns = "image_id, root_id, path, size, inode"
            found = f"SELECT {columns} FROM files WHERE image_id IN ({marks(chunk)})"
            for image_id, root_id, path, *part in self._reader.rows(found, chunk):
                entry = _entry(containers, roots[root_id], path, *part)
                files.setdefault(image_id, []).append(entry)
        return {id: sorted(entries) for id, entries in files.items()}


def _entry(
    containers: Mapping[tuple[int, bytes], Container],
    root: Root,
    path: bytes,
    size: int,
    offset: int | None,
) -> Entry:
    for above in at_and_above(path) if containers else ():
        held = containers.get((root.id, above)) if above != path else None
        if held and (held.kind == "list" or b"://" in path):
            from retrieval.sources.address_list import entry_in  # csv, dates: few searches need it

            return entry_in(held, path)
        if held and held.kind == "vectors":
            return Entry.of(root.path, path)  # a name that leads nowhere
        if held:
            return Entry.of(root.path, above, Part(offset or 0, size), root.options)
    return Entry.of_file(root, path, size)
