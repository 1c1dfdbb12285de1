"""Queries about files that are not pictures of their own: companions, and what is left out."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from retrieval.catalog.conditions import under
from retrieval.catalog.database import chunks, marks
from retrieval.catalog.queries.reader import Reader
from retrieval.paths import place
from retrieval.records import Companion, LeftOut

FolderCount = tuple[bytes, str, str]  # folder as stored, kind, extension

MAX_SECONDS_APART = 2.0  # between the pictures that a camera writes of one shot
SIDECARS = ("sidecar", "takeout")  # companions with facts about their pictures


class OtherFiles:
    """What scans found beside the pictures of a catalog."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def companions(self, root_id: int, inside: bytes = b"") -> list[Companion]:
        """Return the companions at or under a path in a root."""
        condition, values = under(inside)
        columns = "path, main, kind, size, mtime_ns, is_picture"
        found = f"SELECT {columns} FROM companions WHERE root_id = ? AND {condition}"
        rows = self._reader.rows(found, (root_id, *values))
        return [Companion._make((*rest, bool(is_picture))) for *rest, is_picture in rows]

    def left_out(self, root_id: int, inside: bytes = b"") -> dict[FolderCount, int]:
        """Return the counts of what is left out of each folder at or under a path in a root."""
        condition, values = under(inside)
        columns = "path, kind, extension, count"
        found = f"SELECT {columns} FROM left_out WHERE root_id = ? AND {condition}"
        rows = self._reader.rows(found, (root_id, *values))
        return {(path, kind, extension): count for path, kind, extension, count in rows}

    def totals(self) -> dict[int, list[LeftOut]]:
        """Return what is left out of each root, by its id."""
        total = "SELECT root_id, kind, extension, CAST(sum(count) AS BIGINT) FROM left_out"
        of_root: dict[int, list[LeftOut]] = {}
        for root_id, *left in self._reader.rows(
            f"{total} GROUP BY root_id, kind, extension ORDER BY root_id, kind, extension"
        ):
            of_root.setdefault(root_id, []).append(LeftOut(*left))
        return of_root

    def companion_count(self) -> int:
        """Count the companions that are not pictures themselves."""
        return self._reader.number("SELECT count(*) FROM companions WHERE NOT is_picture")

    def of_images(self, ids: Sequence[int]) -> dict[Path, list[Path]]:
        """Return the companions of each file of these images, by its path."""
        roots = {root.id: root.path for root in self._reader.roots()}
        found: dict[Path, list[Path]] = {}
        for chunk in chunks(ids):
            beside = (
                "SELECT companions.root_id, main, companions.path FROM files JOIN companions "
                "ON companions.root_id = files.root_id AND main = files.path "
                f"WHERE files.image_id IN ({marks(chunk)}) ORDER BY companions.path"
            )
            for root_id, main, path in self._reader.rows(beside, chunk):
                held = found.setdefault(place(roots[root_id], main), [])
                held.append(place(roots[root_id], path))
        return found

    def has_pairs(self) -> bool:
        """Return whether any picture is the companion of another."""
        return bool(
            self._reader.number("SELECT EXISTS (SELECT 1 FROM companions WHERE is_picture)")
        )

    def pairs(self, ids: Sequence[int] | None = None) -> dict[int, int]:
        """Return the images that are companions (of `ids`, or all), and whose companions they are.

        One that was taken at another time than the picture of its name is not among them: cameras
        count from 1 again.
        """
        return self._among(PAIRS, ids)

    def folded(self, ids: Sequence[int] | None = None) -> dict[int, int]:
        """Return those of `pairs` that have no place of their own: every file of the companion is
        beside a picture.
        """
        return self._among(f"{PAIRS} AND NOT EXISTS ({ALONE})", ids)

    def _among(self, found: str, ids: Sequence[int] | None) -> dict[int, int]:
        if ids is None:
            return _of_one_time(self._reader.rows(found))
        paired: dict[int, int] = {}
        for chunk in chunks(ids):
            some = f"{found} AND own.image_id IN ({marks(chunk)})"
            paired.update(_of_one_time(self._reader.rows(some, chunk)))
        return paired

    def due(self) -> list[tuple[int, bytes, str, int]]:
        """Return root id, path and kind of the sidecars to read, and the ids of their images."""
        found = (
            "SELECT companions.root_id, companions.path, kind, files.image_id FROM companions "
            "JOIN files ON files.root_id = companions.root_id AND files.path = main "
            f"WHERE kind IN ({marks(SIDECARS)}) AND files.image_id IS NOT NULL "
            "AND (companions.image_id IS NULL OR companions.image_id <> files.image_id)"
        )
        return self._reader.rows(found, SIDECARS)


PAIRS = """
SELECT own.image_id, theirs.image_id, companion.taken_at, picture.taken_at FROM companions
JOIN files AS own ON own.root_id = companions.root_id AND own.path = companions.path
JOIN files AS theirs ON theirs.root_id = companions.root_id AND theirs.path = companions.main
JOIN images AS companion ON companion.id = own.image_id
JOIN images AS picture ON picture.id = theirs.image_id
WHERE is_picture AND own.image_id <> theirs.image_id
"""

ALONE = """
SELECT 1 FROM files AS lone WHERE lone.image_id = own.image_id AND NOT EXISTS (
SELECT 1 FROM companions AS beside WHERE is_picture
AND beside.root_id = lone.root_id AND beside.path = lone.path)
"""


def _of_one_time(rows: Iterable[tuple[int, int, str | None, str | None]]) -> dict[int, int]:
    return {own: theirs for own, theirs, *times in rows if _are_near(*times)}


def _are_near(one: str | None, other: str | None) -> bool:
    """Return whether two ISO 8601 times, if both are known, are of one press of the button."""
    if one == other or one is None or other is None:
        return True
    times = [datetime.fromisoformat(each).replace(tzinfo=None) for each in (one, other)]
    return abs((times[0] - times[1]).total_seconds()) <= MAX_SECONDS_APART
