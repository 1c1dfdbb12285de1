"""Queries for a vector store beside the catalog: all that it holds of some images, and settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from retrieval.catalog.database import chunks, marks
from retrieval.catalog.queries.reader import Reader


@dataclass(slots=True)
class Holding:
    """What a vector store holds of an image: vectors, and the facts that filters need."""

    image_id: int
    taken_at: str | None  # ISO 8601
    modified_ns: int | None  # of its oldest file; None: it has none
    camera: str | None  # lower-case
    latitude: float | None
    longitude: float | None
    width: int
    height: int
    format: str  # Pillow's, upper-case
    places: list[tuple[int, bytes]] = field(default_factory=list)  # root id, path relative to it
    vectors: list[tuple[int, bytes, float]] = field(
        default_factory=list
    )  # moment, float16, hubness


class Holdings:
    """What a store beside a catalog needs to know."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def setting(self, name: str) -> str | None:
        """Return a setting of the library; None if it is not set."""
        rows = self._reader.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def waiting(self, limit: int) -> list[int]:
        """Return the images in the outbox, sorted, each once; at most `limit`."""
        some = "SELECT DISTINCT image_id FROM outbox ORDER BY image_id LIMIT ?"
        return [id for (id,) in self._reader.rows(some, (limit,))]

    def count_waiting(self) -> int:
        return self._reader.number("SELECT count(DISTINCT image_id) FROM outbox")

    def of(self, model_id: int, ids: Sequence[int]) -> list[Holding]:
        """Return what there is of those of these images that have a file and a vector."""
        held: dict[int, Holding] = {}
        for chunk in chunks(ids):
            held |= self._facts(chunk)
            among = f"image_id IN ({marks(chunk)})"
            files = f"SELECT image_id, root_id, path, mtime_ns FROM files WHERE {among}"
            for id, root_id, path, mtime_ns in self._reader.rows(files, chunk):
                one = held[id]
                one.places.append((root_id, path))
                known = one.modified_ns
                one.modified_ns = mtime_ns if known is None else min(known, mtime_ns)
            vectors = (
                "SELECT image_id, moment, vector, coalesce(bank_mean + bank_deviation, 0) "
                f"FROM embeddings WHERE model_id = ? AND {among} ORDER BY moment"
            )
            for id, *vector in self._reader.rows(vectors, (model_id, *chunk)):
                held[id].vectors.append((vector[0], vector[1], vector[2]))
        return [one for one in held.values() if one.places and one.vectors]

    def _facts(self, ids: Sequence[int]) -> dict[int, Holding]:
        found = (
            "SELECT id, taken_at, NULL, lower(camera), latitude, longitude, width, height, "
            "upper(format) FROM images LEFT JOIN shots ON image_id = id "
            f"WHERE id IN ({marks(ids)})"
        )
        return {row[0]: Holding(*row) for row in self._reader.rows(found, ids)}
