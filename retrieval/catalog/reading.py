"""The catalog of a library: what is known of files, images and vectors, read from SQLite.

All reading is here (filters apart: `selection.py`), with the standard library's sqlite3 (see
`schema.py` for why); every change is a function of `writing.py`. A `Catalog` may be used from
any number of threads: each statement borrows a connection, and WAL lets all of them read while a
writer writes.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from retrieval import exclusions
from retrieval.catalog.conditions import kilometres, under
from retrieval.catalog.sqlite.connection import (
    SCHEMA_VERSION,
    NoLocks,
    checkpoint,
    chunks,
    connect,
    explained,
    marks,
)
from retrieval.catalog.sqlite.onlooker import Onlooker, source_of
from retrieval.decoding.limits import TOO_LARGE
from retrieval.errors import LibraryNotFound, LibraryReadOnly, LibraryTooNew, because
from retrieval.locate import FILE_NAME
from retrieval.paths import composed, place, relative, spellings
from retrieval.records import (
    Counts,
    Failed,
    FileState,
    Image,
    KnownFile,
    ModelRecord,
    Root,
    Shot,
    found_at,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine


MODEL = tuple(field.name for field in fields(ModelRecord))  # columns of the table `models`
SHOT = tuple(field.name for field in fields(Shot))  # … and of `shots`
PLAIN = bytes(range(128))  # ASCII

# A file: the fields of a `Found`, and its image's id. The two before it are None where an older
# version wrote them.
Known = tuple[bytes, int, int, int | None, int | None, int | None]
T = TypeVar("T")


class Catalog:
    """An open catalog. `Catalog.open` makes one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # absolute
        self.path = folder / FILE_NAME
        self._connections = source_of(self.path, prepare)
        self._engine: Engine | None = None

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> "Catalog":
        """Raises LibraryNotFound, LibraryReadOnly, LibraryTooNew, CatalogDamaged."""
        catalog = cls(Path(os.path.realpath(folder)))
        if not catalog.path.is_file():
            if not create:
                raise LibraryNotFound(f"no library at {folder}; run `retrieve index PATH` first")
            catalog._make()
        try:
            catalog._be_of_this_version()
        except BaseException:
            catalog.close()
            raise
        return catalog

    def close(self) -> None:
        self._connections.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    # -- models ----------------------------------------------------------------------------------

    def current_model(self) -> ModelRecord | None:
        """The model that searches use; None as long as nothing was encoded."""
        return next(iter(self._models("WHERE is_current")), None)

    def models(self) -> list[ModelRecord]:
        """All that have embeddings here, the current one and those that are to take its place."""
        return self._models("ORDER BY id")

    def model(self, digest: str) -> ModelRecord | None:
        """The model with these weights, current or not."""
        return next(iter(self._models("WHERE digest = ?", digest)), None)

    def _models(self, which: str, *parameters: str) -> list[ModelRecord]:
        rows = self.rows(f"SELECT {', '.join(MODEL)} FROM models {which}", parameters)
        return [ModelRecord(*row) for row in rows]

    # -- roots and counts ------------------------------------------------------------------------

    def roots(self) -> list[Root]:
        """Sorted by path."""
        rows = self.rows("SELECT id, path, entire, exclude FROM roots")
        roots = [
            Root(id, self.root_path(path), bool(entire), exclusions.read(exclude))
            for id, path, entire, exclude in rows
        ]
        return sorted(roots, key=lambda root: root.path)

    def around(self, path: Path) -> list[Root]:
        """The roots that hold an absolute path, or lie in it, the deepest first. Those that do so
        only by another form of a name are meant where no other is.
        """
        roots = sorted(self.roots(), key=lambda root: len(root.path.parts), reverse=True)
        near = [
            root
            for root in roots
            if relative(root.path, path) is not None or relative(path, root.path) is not None
        ]
        exact = [r for r in near if path.is_relative_to(r.path) or r.path.is_relative_to(path)]
        return exact or near

    def root_path(self, stored: bytes) -> Path:
        """The absolute path of a root: those that hold the library are stored relative to it."""
        return Path(os.fsdecode(os.path.normpath(os.path.join(os.fsencode(self.folder), stored))))

    def counts(self) -> Counts:
        """Reads no vectors, so it is quick however many there are."""
        per_root = {root.id: 0 for root in self.roots()}
        per_root.update(self.rows("SELECT root_id, count(*) FROM files GROUP BY root_id"))
        failed = "SELECT count(*) FROM files INDEXED BY failed_files WHERE failure IS NOT NULL"
        model = self.current_model()
        return Counts(
            files=sum(per_root.values()),
            images=self.image_count(),
            embedded=self.embedded(model.id) if model else 0,
            failures=self._number(failed),
            per_root=per_root,
        )

    def embedded(self, model_id: int, up_to: int | None = None) -> int:
        """How many images have an embedding of this model, of those with an id up to `up_to`."""
        last = int(np.iinfo(np.int64).max) if up_to is None else up_to
        counted = "SELECT count(*) FROM embeddings WHERE model_id = ? AND image_id <= ?"
        return self._number(counted, (model_id, last))

    def at_least(self, model_id: int, most: int) -> int:
        """How many images have an embedding of this model, counted up to `most`."""
        some = "SELECT 1 FROM embeddings WHERE model_id = ? AND image_id > 0 LIMIT ?"
        return self._number(f"SELECT count(*) FROM ({some})", (model_id, most))

    def failures(self) -> Iterator[Failed]:
        """Sorted by path within each root."""
        for root in self.roots():
            failed = "SELECT path, failure FROM files WHERE root_id = ? AND failure IS NOT NULL"
            for path, reason in self.rows(failed + " ORDER BY path", (root.id,)):
                yield Failed(place(root.path, path), reason)

    def failure_at(self, root_id: int, path: bytes) -> str | None:
        """Why a file has no image; None for one that has, or that is not known."""
        found = "SELECT failure FROM files WHERE root_id = ? AND path = ?"
        rows = self.rows(found, (root_id, path))
        return rows[0][0] if rows else None

    def too_large(self) -> list[FileState]:
        """The files that failed for their number of pixels."""
        failed = (
            "SELECT root_id, path, size, mtime_ns, failure FROM files INDEXED BY failed_files "
            "WHERE failure IS NOT NULL AND instr(failure, ?)"
        )
        rows = self.rows(failed, (TOO_LARGE,))
        return [
            FileState(root_id, path, size, mtime_ns, None, failure)
            for root_id, path, size, mtime_ns, failure in rows
        ]

    def has_files(self, root_id: int, inside: bytes) -> bool:
        """Whether any file is known at or under a path relative to that root."""
        condition, values = under(inside)
        found = f"SELECT EXISTS (SELECT 1 FROM files WHERE root_id = ? AND {condition})"
        return bool(self._number(found, (root_id, *values)))

    def known_as(self, root_id: int, inside: bytes) -> list[bytes]:
        """How a path relative to a root is written here: in the same form if a file is known so,
        else in the other; as it is where none is known.
        """
        if inside.isascii() or self.has_files(root_id, inside):
            return [inside]
        same, depth = composed(os.fsdecode(inside)), inside.count(b"/") + 1
        plain = inside[: len(inside) - len(inside.lstrip(PLAIN))][:-1]  # alike in both forms
        begins = "SELECT path FROM files WHERE root_id = ? AND path >= ? AND path < ?"
        end = plain[:-1] + bytes([plain[-1] + 1]) if plain else b"\xff" * 256
        rows = self.rows(begins, (root_id, plain, end))
        names = {b"/".join(path.split(b"/")[:depth]) for (path,) in rows}
        return sorted(n for n in names if composed(os.fsdecode(n)) == same) or [inside]

    def files(self, root_id: int, inside: bytes = b"") -> list[Known]:
        """The files at or under a path in that root."""
        condition, values = under(inside)
        columns = "path, size, mtime_ns, ctime_ns, inode, image_id"
        found = f"SELECT {columns} FROM files WHERE root_id = ? AND {condition}"
        return self.rows(found, (root_id, *values))

    def sizes(self) -> set[int]:
        """Of all files that hold an image, in bytes: a file of another size is no copy."""
        return {size for (size,) in self.rows("SELECT size FROM files WHERE image_id IS NOT NULL")}

    # -- images ----------------------------------------------------------------------------------

    def images(self, ids: Sequence[int]) -> dict[int, Image]:
        """The known ones among `ids`, each with the absolute paths of all its copies."""
        images: dict[int, Image] = {}
        for chunk in chunks([int(id) for id in ids]):
            paths, times = self._places(chunk)
            columns = "id, width, height, format, taken_at, image_id, " + ", ".join(SHOT)
            found = f"SELECT {columns} FROM images LEFT JOIN shots ON image_id = id"
            for id, width, height, format, taken_at, described, *shot in self.rows(
                f"{found} WHERE id IN ({marks(chunk)})", chunk
            ):
                images[id] = Image(
                    id,
                    width,
                    height,
                    format,
                    datetime.fromisoformat(taken_at) if taken_at else None,
                    tuple(sorted(paths.get(id, ()))),
                    times.get(id),
                    Shot(*shot) if described else None,
                )
        return images

    def known_files(self, ids: Sequence[int]) -> dict[int, list[KnownFile]]:
        """The files of each of these images, as they were when they were indexed."""
        roots = {root.id: root.path for root in self.roots()}
        columns = "image_id, root_id, path, size, mtime_ns, ctime_ns, inode"
        files: dict[int, list[KnownFile]] = {}
        for chunk in chunks(ids):
            found = f"SELECT {columns} FROM files WHERE image_id IN ({marks(chunk)})"
            for image_id, root_id, path, *status in self.rows(found, chunk):
                file = KnownFile(place(roots[root_id], path), *status)
                files.setdefault(image_id, []).append(file)
        return files

    def copied(self) -> NDArray[np.int64]:
        """The images that several files hold, sorted."""
        return self.ids(
            "SELECT image_id FROM files WHERE image_id IS NOT NULL "
            "GROUP BY image_id HAVING count(*) > 1 ORDER BY image_id"
        )

    def difference_hashes(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Of those among these images of which it is known."""
        hashes: dict[int, bytes] = {}
        for chunk in chunks(ids):
            found = f"SELECT id, difference_hash FROM images WHERE id IN ({marks(chunk)})"
            hashes.update(self.rows(found + " AND difference_hash IS NOT NULL", chunk))
        return hashes

    def digest_of(self, image_id: int) -> bytes | None:
        rows = self.rows("SELECT digest FROM images WHERE id = ?", (image_id,))
        return rows[0][0] if rows else None

    def bytes_of(self, ids: Sequence[int]) -> dict[int, int]:
        """The length of the files of each of these images; copies are of one length."""
        sizes: dict[int, int] = {}
        for chunk in chunks(ids):
            found = f"SELECT image_id, size FROM files WHERE image_id IN ({marks(chunk)})"
            sizes.update(self.rows(found, chunk))
        return sizes

    def image_of_digest(self, digest: bytes) -> int | None:
        rows = self.rows("SELECT id FROM images WHERE digest = ?", (digest,))
        return rows[0][0] if rows else None

    def image_count(self) -> int:
        return self._number("SELECT count(*) FROM images")

    def has_orphans(self) -> bool:
        """Whether there are images without a file. Two counts: five times as fast as a join."""
        held = self._number("SELECT count(DISTINCT image_id) FROM files")
        return held < self.image_count()

    def without_embedding(self, model_id: int | None) -> list[tuple[int, bytes]]:
        """(id, digest) of the images that this model (None: no model yet) has not encoded."""
        missing = "SELECT id, digest FROM images WHERE id NOT IN "
        held = "(SELECT image_id FROM embeddings WHERE model_id = ?) ORDER BY id"
        return self.rows(missing + held, (model_id,))

    def undescribed(self) -> list[tuple[int, bytes]]:
        """(id, digest) of the images whose EXIF was not read, or that have no difference hash:
        those of an older catalog.
        """
        unhashed = "SELECT EXISTS (SELECT 1 FROM images WHERE difference_hash IS NULL)"
        described = self._number("SELECT count(*) FROM shots")
        if described == self.image_count() and not self._number(unhashed):
            return []  # as nearly always; two counts, not a comparison of two lists
        missing = "id NOT IN (SELECT image_id FROM shots) OR difference_hash IS NULL"
        return self.rows(f"SELECT id, digest FROM images WHERE {missing} ORDER BY id")

    def image_of_path(self, path: Path) -> int | None:
        """The image in a known file that has not changed since; else None."""
        try:
            found = found_at(b"", path.stat())
        except (OSError, ValueError):
            return None
        same = (
            "root_id = ?1 AND path = ?2 AND size = ?3 AND mtime_ns = ?4 AND image_id IS NOT NULL "
            "AND ifnull(ctime_ns, ?5) = ?5 AND ifnull(inode, ?6) = ?6"
        )
        for root_id, inside in self.places(path):
            at = (root_id, inside, *found[1:])
            if rows := self.rows(f"SELECT image_id FROM files WHERE {same}", at):
                return int(rows[0][0])
        return None

    def is_as_indexed(self, path: Path, status: os.stat_result) -> bool:
        """Whether a file, by its size and times, is the one that was read there."""
        same = "root_id = ? AND path = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ?"
        found = f"SELECT EXISTS (SELECT 1 FROM files WHERE {same})"
        return any(
            self._number(found, (root_id, *found_at(inside, status)[:4]))
            for root_id, inside in self.places(path)
        )

    def image_at(self, path: Path) -> int | None:
        """The image known at an absolute place, whatever is there now: no file is looked at."""
        at = "SELECT image_id FROM files WHERE root_id = ? AND path = ?"
        for known in self._places_of(Path(os.path.normpath(path))):
            if (rows := self.rows(at, known)) and rows[0][0] is not None:
                return int(rows[0][0])
        return None

    def image_in(self, path: Path) -> int | None:
        """The image in a file, known by its place or its content; None for one that is not."""
        known = self.image_of_path(path)
        if known is None and path.is_file():
            from retrieval.decoding import content

            known = self.image_of_digest(content.digest_of(content.read(path)))
        return known

    def ids_under(self, folder: Path) -> NDArray[np.int64]:
        """The images with a file in or under `folder` (or that are the file `folder`), sorted."""
        parts = [np.empty(0, np.int64)]
        for spelling in spellings(folder):
            for root in self.around(spelling):
                inside = relative(root.path, spelling) or b""
                parts += [self._ids(root.id, known) for known in self.known_as(root.id, inside)]
        return np.unique(np.concatenate(parts))

    def places(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Where `path` may lie: (root id, path relative to it), the deepest root first."""
        for spelling in spellings(path):
            yield from self._places_of(spelling)

    def _places_of(self, path: Path) -> Iterator[tuple[int, bytes]]:
        for root in self.around(path):
            if inside := relative(root.path, path):
                yield from ((root.id, known) for known in self.known_as(root.id, inside))

    # -- vectors ---------------------------------------------------------------------------------

    def vector(self, model_id: int, image_id: int) -> NDArray[np.float32] | None:
        """(D,), unit L2 norm up to the rounding of float16."""
        one = "SELECT vector FROM embeddings WHERE model_id = ? AND image_id = ?"
        rows = self.rows(one, (model_id, int(image_id)))
        return np.frombuffer(rows[0][0], "<f2").astype(np.float32) if rows else None

    def vectors_of(self, model_id: int, ids: Sequence[int]) -> dict[int, bytes]:
        """As they are stored, of those among `ids` that have one."""
        of = "SELECT image_id, vector FROM embeddings WHERE model_id = ? AND image_id IN "
        found: dict[int, bytes] = {}
        for chunk in chunks(ids):
            found.update(self.rows(f"{of} ({marks(chunk)})", (model_id, *chunk)))
        return found

    def vectors(
        self, model_id: int, after: int = 0, batch: int = 2_500
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Ids (n,) above `after`, ascending, and their vectors (n, D), `batch` at a time."""
        for ids, vectors, _ in self.measured(model_id, after, batch):
            yield ids, vectors

    def measured(
        self, model_id: int, after: int = 0, batch: int = 2_500
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float32]]]:
        """As `vectors`, with the hubness (n,) of each; 0 for those that were not measured."""
        page = (
            "SELECT image_id, vector, ifnull(bank_mean + bank_deviation, 0) FROM embeddings "
            "WHERE model_id = ? AND image_id > ? ORDER BY image_id LIMIT ?"
        )
        while rows := self.rows(page, (model_id, after, batch)):
            ids = np.array([id for id, _, _ in rows], np.int64)
            vectors = np.frombuffer(b"".join(vector for _, vector, _ in rows), "<f2")
            hubness = np.array([hubness for _, _, hubness in rows], np.float32)
            yield ids, vectors.reshape(len(ids), -1), hubness
            after = int(ids[-1])

    def hubness(self, model_id: int, ids: Sequence[int]) -> dict[int, float]:
        """Mean + deviation of the measured ones among these images."""
        hubness: dict[int, float] = {}
        for chunk in chunks(ids):
            hubness.update(
                self.rows(
                    "SELECT image_id, bank_mean + bank_deviation FROM embeddings WHERE "
                    f"model_id = ? AND image_id IN ({marks(chunk)}) AND bank_mean IS NOT NULL",
                    (model_id, *chunk),
                )
            )
        return hubness

    # -- SQLite ----------------------------------------------------------------------------------

    def _be_of_this_version(self) -> None:
        [(version,)] = self._first("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise LibraryTooNew(
                f"{self.path} is of version {version}, this program knows {SCHEMA_VERSION}; "
                "update retrieve"
            )
        if version < SCHEMA_VERSION:
            self._upgrade()

    def _first(self, statement: str) -> list[Any]:
        """Of a catalog that is there already, on a medium without locks, there is reading."""
        try:
            return self.rows(statement)
        except NoLocks:
            if not self.path.stat().st_size:  # we have just made it
                self.path.unlink()
                raise
            self._connections = Onlooker(self.path, prepare)
            return self.rows(statement)

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Every row of one SELECT, as tuples."""
        return self.read(lambda connection: connection.execute(statement, parameters).fetchall())

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` reads with a connection; it may be called more than once."""
        with explained(self.folder):
            try:
                return self._connections.read(work)
            except FileNotFoundError as error:
                raise LibraryNotFound(f"the library at {self.folder} is gone") from error
            except OSError as error:
                raise because(LibraryReadOnly, f"cannot read {self.path}", error) from error

    def ids(self, statement: str, parameters: Sequence[Any] = ()) -> NDArray[np.int64]:
        """The one column of every row of a SELECT."""
        rows = self.rows(statement, parameters)
        return np.fromiter((id for (id,) in rows), np.int64, len(rows))

    def _number(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        return int(self.rows(statement, parameters)[0][0])

    def _places(self, ids: Sequence[int]) -> tuple[dict[int, list[Path]], dict[int, datetime]]:
        """The paths of each image's files, and the time of the oldest of them."""
        roots = {root.id: root.path for root in self.roots()}
        columns = "image_id, root_id, path, mtime_ns"
        found = f"SELECT {columns} FROM files WHERE image_id IN ({marks(ids)})"
        paths: dict[int, list[Path]] = {}
        times: dict[int, int] = {}
        for image_id, root_id, path, mtime_ns in self.rows(found, ids):
            paths.setdefault(image_id, []).append(place(roots[root_id], path))
            times[image_id] = min(mtime_ns, times.get(image_id, mtime_ns))
        return paths, {id: moment(mtime_ns) for id, mtime_ns in times.items()}

    def _ids(self, root_id: int, inside: bytes) -> NDArray[np.int64]:
        condition, values = under(inside)
        found = f"SELECT image_id FROM files WHERE root_id = ? AND {condition}"
        return self.ids(found + " AND image_id IS NOT NULL", (root_id, *values))

    def checkpoint(self) -> None:
        """Make the file whole without its WAL, as far as others let us."""
        checkpoint(self.path)

    def rest(self) -> None:
        """Let go of the file if nothing was asked for a while, so that it is whole by itself."""
        self._connections.rest()

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another process was quicker
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
        except OSError as error:
            said = f"cannot make a library at {self.folder}"
            raise because(LibraryReadOnly, said, error) from error

    def _upgrade(self) -> None:
        if isinstance(self._connections, Onlooker):
            raise LibraryReadOnly(
                f"{self.path} is of an older version and cannot be written to here; "
                "open it once where it can"
            )
        from retrieval.catalog import schema

        with explained(self.folder), self.engine().begin() as connection:
            schema.upgrade(connection)

    def engine(self) -> "Engine":
        """For `writing.py`: SQLAlchemy on a connection like the ones that read."""
        if self._engine is None:
            from sqlalchemy import create_engine, event
            from sqlalchemy.pool import NullPool

            path = self.path
            self._engine = create_engine(
                "sqlite://", creator=lambda: connect(path), poolclass=NullPool
            )
            # The connection autocommits: SQLAlchemy's transactions begin here, as writers.
            event.listen(
                self._engine, "begin", lambda opened: opened.exec_driver_sql("BEGIN IMMEDIATE")
            )
        return self._engine


def prepare(connection: sqlite3.Connection) -> None:
    """What our statements call."""
    connection.create_function("kilometres", 4, kilometres, deterministic=True)


def moment(mtime_ns: int) -> datetime:
    """A file's time on this machine's clock, as far as the calendar goes."""
    try:
        return datetime.fromtimestamp(mtime_ns // 1_000_000_000)
    except (ValueError, OverflowError, OSError):
        return datetime.min
