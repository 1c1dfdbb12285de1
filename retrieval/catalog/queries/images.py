"""Queries about images: their properties, and all of their copies."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.database import LIST_LENGTH, chunks, marks
from retrieval.catalog.queries.reader import Reader
from retrieval.paths import place
from retrieval.records import Image, Moment, Shot, Wording

IMAGE = "width, height, format, taken_at, taken_from, rating, is_truncated, duration"
SHOT = Shot._fields  # columns of the table `shots`


class Images:
    """The images of a catalog: one for each distinct content."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def by_id(self, ids: Sequence[int]) -> dict[int, Image]:
        """Return the known images among `ids`, each with the absolute paths of all its copies."""
        images: dict[int, Image] = {}
        for chunk in chunks([int(id) for id in ids]):
            paths, times = self._places(chunk)
            columns = f"id, {IMAGE}, image_id, {', '.join(SHOT)}"
            found = f"SELECT {columns} FROM images LEFT JOIN shots ON image_id = id"
            for row in self._reader.rows(f"{found} WHERE id IN ({marks(chunk)})", chunk):
                id, width, height, format, taken_at, taken_from, rating, *rest = row
                is_truncated, duration, described, *shot = rest
                images[id] = Image(
                    id,
                    width,
                    height,
                    format,
                    datetime.fromisoformat(taken_at) if taken_at else None,
                    tuple(sorted(paths.get(id, ()))),
                    times.get(id),
                    Shot(*shot) if described else None,
                    taken_from or ("original" if taken_at else "file"),
                    rating,
                    bool(is_truncated),
                    duration,
                )
        return images

    def count(self) -> int:
        return self._reader.number("SELECT count(*) FROM images")

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of all images, ascending."""
        return self._reader.ids("SELECT id FROM images ORDER BY id")

    def of_digest(self, digest: bytes) -> int | None:
        rows = self._reader.rows("SELECT id FROM images WHERE digest = ?", (digest,))
        return rows[0][0] if rows else None

    def last_id(self) -> int:
        """Return the highest id of an image, 0 if there is none; about their number."""
        [(last,)] = self._reader.rows("SELECT max(id) FROM images")
        return last or 0

    def digests(self) -> Iterator[list[bytes]]:
        """Yield the digests of all images, some at a time."""
        ids: Sequence[Any] = (0,)
        statement = "SELECT id, digest FROM images WHERE id > ? ORDER BY id LIMIT ?"
        while rows := self._reader.rows(statement, (ids[-1], LIST_LENGTH)):
            ids, digests = zip(*rows, strict=True)
            yield list(digests)

    def digest_of(self, image_id: int) -> bytes | None:
        rows = self._reader.rows("SELECT digest FROM images WHERE id = ?", (image_id,))
        return rows[0][0] if rows else None

    def copied(self) -> NDArray[np.int64]:
        """Return the sorted ids of the images that several files have."""
        return self._reader.ids(
            "SELECT image_id FROM files WHERE image_id IS NOT NULL "
            "GROUP BY image_id HAVING count(*) > 1 ORDER BY image_id"
        )

    def difference_hashes(self, ids: Sequence[int]) -> dict[int, bytes]:
        """Return the difference hashes of these images, by id, if they are known."""
        hashes: dict[int, bytes] = {}
        for chunk in chunks(ids):
            found = f"SELECT id, difference_hash FROM images WHERE id IN ({marks(chunk)})"
            hashes.update(self._reader.rows(found + " AND difference_hash IS NOT NULL", chunk))
        return hashes

    def has_orphans(self) -> bool:
        """Return whether any image has no file. Two counts are five times as fast as a join."""
        held = self._reader.number("SELECT count(DISTINCT image_id) FROM files")
        return held < self.count()

    def undescribed(self) -> list[tuple[int, bytes]]:
        """Return (id, digest) of images from older catalogs, which lack facts or a difference hash
        or may look different now, and of those whose sidecar has changed.
        """
        lacking = "difference_hash IS NULL OR taken_from IS NULL OR decoding IS NULL"
        some = f"SELECT EXISTS (SELECT 1 FROM images WHERE {lacking})"
        described = self._reader.number("SELECT count(*) FROM shots")
        if described == self.count() and not self._reader.number(some):
            return []  # the usual case: two counts are faster than comparing two lists
        missing = f"{lacking} OR NOT EXISTS (SELECT 1 FROM shots WHERE image_id = images.id)"
        return self._reader.rows(f"SELECT id, digest FROM images WHERE {missing} ORDER BY id")

    def unwatched(self) -> list[tuple[int, bytes]]:
        """Return (id, digest) of images that may have moments that nobody has looked for yet."""
        return self._reader.rows(
            "SELECT id, digest FROM images WHERE moment_count IS NULL ORDER BY id"
        )

    def moments(self, ids: Sequence[int]) -> dict[int, list[Moment]]:
        """Return the moments of those of these images that are videos or have several, by id."""
        moments: dict[int, list[Moment]] = {}
        for chunk in chunks([int(id) for id in ids]):
            found = "SELECT image_id, moment, unit, position FROM moments WHERE image_id IN"
            rows = self._reader.rows(f"{found} ({marks(chunk)}) ORDER BY image_id, moment", chunk)
            for image_id, *moment in rows:
                moments.setdefault(image_id, []).append(Moment(*moment))
        return moments

    def has_moments(self, digest: bytes) -> bool:
        """Return whether it is known which moments the image with this digest has."""
        image = "SELECT id FROM images WHERE digest = ?"
        known = f"SELECT EXISTS (SELECT 1 FROM moments WHERE image_id = ({image}))"
        return bool(self._reader.number(known, (digest,)))

    def moving(self) -> NDArray[np.int64]:
        """Return the sorted ids of the images that are videos or have several moments."""
        return self._reader.ids("SELECT DISTINCT image_id FROM moments ORDER BY image_id")

    def captions(self, ids: Sequence[int]) -> dict[int, str]:
        """Return the first description of each of these images that has any."""
        captions: dict[int, str] = {}
        for chunk in chunks(ids):
            found = f"SELECT image_id, text FROM texts WHERE image_id IN ({marks(chunk)})"
            said = self._reader.rows(f"{found} AND kind = 'caption' ORDER BY id DESC", chunk)
            captions.update(said)
        return captions

    def wordings(self, image_id: int) -> list[Wording]:
        """Return the texts that describe an image, as they were found."""
        found = "SELECT kind, text, source FROM texts WHERE image_id = ? ORDER BY id"
        return [Wording(*row) for row in self._reader.rows(found, (image_id,))]

    def _places(self, ids: Sequence[int]) -> tuple[dict[int, list[Path]], dict[int, datetime]]:
        """Return the paths of each image's files, and the time of the oldest."""
        roots = {root.id: root.path for root in self._reader.roots()}
        columns = "image_id, root_id, path, mtime_ns"
        found = f"SELECT {columns} FROM files WHERE image_id IN ({marks(ids)})"
        paths: dict[int, list[Path]] = {}
        times: dict[int, int] = {}
        for image_id, root_id, path, mtime_ns in self._reader.rows(found, ids):
            paths.setdefault(image_id, []).append(place(roots[root_id], path))
            times[image_id] = min(mtime_ns, times.get(image_id, mtime_ns))
        return paths, {id: moment(mtime_ns) for id, mtime_ns in times.items()}


def moment(mtime_ns: int) -> datetime:
    """Return a file's time in the local zone; datetime.min if it is outside the calendar."""
    try:
        return datetime.fromtimestamp(mtime_ns // 1_000_000_000)
    except (ValueError, OverflowError, OSError):
        return datetime.min
