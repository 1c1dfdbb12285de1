"""Queries about files: size, times, image and failure."""

from collections.abc import Iterator, Sequence

from retrieval.catalog.conditions import under
from retrieval.catalog.database import chunks, marks
from retrieval.catalog.queries.reader import Reader
from retrieval.errors import FailureCode
from retrieval.paths import place
from retrieval.records import NO_MTIME, Failed, Failure, FileState, KnownFile
from retrieval.sources.container import at_and_above

# A file: the fields of a `Found`, and its image's id. ctime and inode are None if an older version
# wrote the row.
Known = tuple[bytes, int, int, int | None, int | None, int | None]

LARGE = FailureCode.TOO_LARGE.value
REFUSED = FailureCode.DAMAGED.value, FailureCode.NOT_A_PICTURE.value  # by their decoders, or all


class Files:
    """The files of a catalog: each has an image, or failed."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def within(self, root_id: int, inside: bytes = b"") -> list[Known]:
        """Return the files at or under a path in that root."""
        condition, values = under(inside)
        columns = "path, size, mtime_ns, ctime_ns, inode, image_id"
        found = f"SELECT {columns} FROM files WHERE root_id = ? AND {condition}"
        return self._reader.rows(found, (root_id, *values))

    def count_due(self, root_id: int, inside: bytes) -> tuple[int, int]:
        """Count the files at or under a path in a root, and those of them to read again."""
        condition, values = under(inside)
        counted = "SELECT count(*), coalesce(sum(CASE mtime_ns WHEN ? THEN 1 ELSE 0 END), 0)"
        found = f"{counted} FROM files WHERE root_id = ? AND {condition}"
        [(files, due)] = self._reader.rows(found, (NO_MTIME, root_id, *values))
        return int(files), int(due)

    def has_any(self, root_id: int, inside: bytes) -> bool:
        """Return whether any file is known at or under a path relative to that root."""
        condition, values = under(inside)
        found = f"SELECT EXISTS (SELECT 1 FROM files WHERE root_id = ? AND {condition})"
        return bool(self._reader.number(found, (root_id, *values)))

    def with_images(self, batch: int = 50_000) -> Iterator[tuple[bytes, int]]:
        """Yield path, relative to its root, and image of every file that has one."""
        page = (
            "SELECT root_id, path, image_id FROM files WHERE (root_id, path) > (?, ?) "
            "ORDER BY root_id, path LIMIT ?"
        )
        after: tuple[int, bytes] = (-1, b"")
        while rows := self._reader.rows(page, (*after, batch)):
            yield from ((path, image_id) for _, path, image_id in rows if image_id is not None)
            after = rows[-1][:2]

    def sizes(self) -> set[int]:
        """Return the sizes of all files with an image; a file of another size cannot be a copy."""
        return {
            size
            for (size,) in self._reader.rows("SELECT size FROM files WHERE image_id IS NOT NULL")
        }

    def of_images(self, ids: Sequence[int]) -> dict[int, list[KnownFile]]:
        """Return the files of each of these images, as they were when they were indexed."""
        roots = {root.id: root.path for root in self._reader.roots()}
        columns = "image_id, root_id, path, size, mtime_ns, ctime_ns, inode"
        holders: dict[int, set[bytes]] = {}
        for root_id, path in self._reader.rows("SELECT root_id, path FROM containers"):
            holders.setdefault(root_id, set()).add(path)
        files: dict[int, list[KnownFile]] = {}
        for chunk in chunks(ids):
            found = f"SELECT {columns} FROM files WHERE image_id IN ({marks(chunk)})"
            for image_id, root_id, path, size, *times in self._reader.rows(found, chunk):
                held = holders.get(root_id, ())
                at = next((each for each in at_and_above(path) if each in held), None)
                container = place(roots[root_id], at) if at else None
                file = KnownFile._make((place(roots[root_id], path), size, *times, container))
                files.setdefault(image_id, []).append(file)
        return files

    def places_of(self, ids: Sequence[int]) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the places of each of these images that has any: (root id, path relative to it)."""
        for chunk in chunks(ids):
            found = f"SELECT image_id, root_id, path FROM files WHERE image_id IN ({marks(chunk)})"
            places: dict[int, list[tuple[int, bytes]]] = {}
            for image_id, root_id, path in self._reader.rows(found, chunk):
                places.setdefault(image_id, []).append((root_id, path))
            yield from places.values()

    def some_images(self, root_id: int, inside: bytes, limit: int) -> list[int]:
        """Return the ids of up to `limit` images with files at or under a path in a root."""
        condition, values = under(inside)
        found = f"SELECT DISTINCT image_id FROM files WHERE root_id = ? AND {condition} LIMIT ?"
        rows = self._reader.rows(found, (root_id, *values, limit))
        return [image_id for (image_id,) in rows if image_id is not None]

    def bytes_of(self, ids: Sequence[int]) -> dict[int, int]:
        """Return the file size of each of these images; copies have the same size."""
        sizes: dict[int, int] = {}
        for chunk in chunks(ids):
            found = f"SELECT image_id, size FROM files WHERE image_id IN ({marks(chunk)})"
            sizes.update(self._reader.rows(found, chunk))
        return sizes

    def failure_count(self) -> int:
        return self._reader.number("SELECT count(*) FROM files WHERE failure_code IS NOT NULL")

    def failures(self) -> Iterator[Failed]:
        """Yield the files that failed, sorted by path within each root."""
        columns = "root_id, path, failure, failure_code"
        # Sorted here: with ORDER BY, SQLite would scan all files, not the index of failed ones.
        rows = self._reader.rows(f"SELECT {columns} FROM files WHERE failure_code IS NOT NULL")
        of_root: dict[int, list[tuple[bytes, str, str]]] = {}
        for root_id, *failed in rows:
            of_root.setdefault(root_id, []).append((failed[0], failed[1], failed[2]))
        for root in self._reader.roots():
            for path, reason, code in sorted(of_root.get(root.id, ())):
                yield Failed(place(root.path, path), reason, FailureCode(code))

    def failure_at(self, root_id: int, path: bytes) -> FailureCode | None:
        """Return why a file has no image; None if it has one, or is unknown."""
        found = "SELECT failure_code FROM files WHERE root_id = ? AND path = ?"
        rows = self._reader.rows(found, (root_id, path))
        return FailureCode(rows[0][0]) if rows and rows[0][0] is not None else None

    def sentence_at(self, root_id: int, path: bytes) -> str | None:
        """Return why a file has no image, for people; None if it has one, or is unknown."""
        found = "SELECT failure FROM files WHERE root_id = ? AND path = ?"
        rows = self._reader.rows(found, (root_id, path))
        return str(rows[0][0]) if rows and rows[0][0] is not None else None

    def too_large(self, max_pixels: int) -> list[FileState]:
        """Return the files that had too many pixels for a run with a limit below `max_pixels`."""
        return self._failed("failure_code = ? AND failure_limit < ?", LARGE, max_pixels)

    def refused(self) -> list[FileState]:
        """Return the files that no decoder could read."""
        return self._failed("failure_code IN (?, ?)", *REFUSED)

    def _failed(self, condition: str, *values: str | int) -> list[FileState]:
        columns = "root_id, path, size, mtime_ns, failure, failure_code, failure_limit"
        rows = self._reader.rows(f"SELECT {columns} FROM files WHERE {condition}", values)
        return [
            FileState(root, path, size, mtime_ns, None, Failure(FailureCode(code), reason, limit))
            for root, path, size, mtime_ns, reason, code, limit in rows
        ]
