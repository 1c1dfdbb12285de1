"""Queries about files: what is known of each, and which of them failed."""

from collections.abc import Iterator, Sequence

from retrieval.catalog.conditions import under
from retrieval.catalog.queries.reader import Reader
from retrieval.catalog.sqlite.connection import chunks, marks
from retrieval.decoding.limits import TOO_LARGE
from retrieval.paths import place
from retrieval.records import Failed, FileState, KnownFile

# A file: the fields of a `Found`, and its image's id. The two before it are None where an older
# version wrote them.
Known = tuple[bytes, int, int, int | None, int | None, int | None]


class Files:
    """The files of a catalog: each holds an image, or failed."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def within(self, root_id: int, inside: bytes = b"") -> list[Known]:
        """The files at or under a path in that root."""
        condition, values = under(inside)
        columns = "path, size, mtime_ns, ctime_ns, inode, image_id"
        found = f"SELECT {columns} FROM files WHERE root_id = ? AND {condition}"
        return self._reader.rows(found, (root_id, *values))

    def has_any(self, root_id: int, inside: bytes) -> bool:
        """Whether any file is known at or under a path relative to that root."""
        condition, values = under(inside)
        found = f"SELECT EXISTS (SELECT 1 FROM files WHERE root_id = ? AND {condition})"
        return bool(self._reader.number(found, (root_id, *values)))

    def sizes(self) -> set[int]:
        """Of all files that hold an image, in bytes: a file of another size is no copy."""
        return {
            size
            for (size,) in self._reader.rows("SELECT size FROM files WHERE image_id IS NOT NULL")
        }

    def of_images(self, ids: Sequence[int]) -> dict[int, list[KnownFile]]:
        """The files of each of these images, as they were when they were indexed."""
        roots = {root.id: root.path for root in self._reader.roots()}
        columns = "image_id, root_id, path, size, mtime_ns, ctime_ns, inode"
        files: dict[int, list[KnownFile]] = {}
        for chunk in chunks(ids):
            found = f"SELECT {columns} FROM files WHERE image_id IN ({marks(chunk)})"
            for image_id, root_id, path, *status in self._reader.rows(found, chunk):
                file = KnownFile(place(roots[root_id], path), *status)
                files.setdefault(image_id, []).append(file)
        return files

    def bytes_of(self, ids: Sequence[int]) -> dict[int, int]:
        """The length of the files of each of these images; copies are of one length."""
        sizes: dict[int, int] = {}
        for chunk in chunks(ids):
            found = f"SELECT image_id, size FROM files WHERE image_id IN ({marks(chunk)})"
            sizes.update(self._reader.rows(found, chunk))
        return sizes

    def failure_count(self) -> int:
        failed = "SELECT count(*) FROM files INDEXED BY failed_files WHERE failure IS NOT NULL"
        return self._reader.number(failed)

    def failures(self) -> Iterator[Failed]:
        """Sorted by path within each root."""
        for root in self._reader.roots():
            failed = "SELECT path, failure FROM files WHERE root_id = ? AND failure IS NOT NULL"
            for path, reason in self._reader.rows(failed + " ORDER BY path", (root.id,)):
                yield Failed(place(root.path, path), reason)

    def failure_at(self, root_id: int, path: bytes) -> str | None:
        """Why a file has no image; None for one that has, or that is not known."""
        found = "SELECT failure FROM files WHERE root_id = ? AND path = ?"
        rows = self._reader.rows(found, (root_id, path))
        return rows[0][0] if rows else None

    def too_large(self) -> list[FileState]:
        """The files that failed for their number of pixels."""
        failed = (
            "SELECT root_id, path, size, mtime_ns, failure FROM files INDEXED BY failed_files "
            "WHERE failure IS NOT NULL AND instr(failure, ?)"
        )
        rows = self._reader.rows(failed, (TOO_LARGE,))
        return [
            FileState(root_id, path, size, mtime_ns, None, failure)
            for root_id, path, size, mtime_ns, failure in rows
        ]
