"""Queries about vectors: those of some images, all of a model in pages, and counts.

The id of a vector is that of its image and its moment together (vector_ids.py).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.database import LIST_LENGTH, chunks, marks
from retrieval.catalog.queries.reader import Reader
from retrieval.catalog.queries.vector_ids import BITS, IMAGE, vector_id

LAST = int(np.iinfo(np.int64).max)
PAGE = 2_500  # vectors


class Embeddings:
    """The vectors of a catalog, by model, image and moment."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def count(self, model_id: int, up_to: int | None = None) -> int:
        """Count the images with an embedding of this model, of those with an id up to `up_to`."""
        last = LAST if up_to is None else up_to
        counted = (
            "SELECT count(*) FROM embeddings WHERE model_id = ? AND image_id <= ? AND moment = 0"
        )
        return self._reader.number(counted, (model_id, last))

    def count_vectors(self, model_id: int, up_to: int | None = None) -> int:
        """Count the vectors of this model, of images with an id up to `up_to`."""
        counted = "SELECT count(*) FROM embeddings WHERE model_id = ? AND image_id <= ?"
        return self._reader.number(counted, (model_id, LAST if up_to is None else up_to))

    def at_least(self, model_id: int, limit: int, after: int = 0) -> int:
        """Count the images above `after` with an embedding of this model, but stop at `limit`."""
        some = "SELECT 1 FROM embeddings WHERE model_id = ? AND image_id > ? AND moment = 0 LIMIT ?"
        return self._reader.number(
            f"SELECT count(*) FROM ({some}) AS held", (model_id, after, limit)
        )

    def ids(self, model_id: int) -> NDArray[np.int64]:
        """Return the sorted ids of the images with an embedding of this model."""
        held = "SELECT image_id FROM embeddings WHERE model_id = ? AND moment = 0 ORDER BY image_id"
        return self._reader.ids(held, (model_id,))

    def missing(self, model_id: int | None) -> list[tuple[int, bytes]]:
        """Return (id, digest) of the images of which this model (None: no model yet) has not
        encoded every moment.
        """
        held = "SELECT 1 FROM embeddings WHERE image_id = images.id AND model_id = ? AND moment = 0"
        further = (
            "SELECT moments.image_id FROM moments LEFT JOIN embeddings ON model_id = ? "
            "AND embeddings.image_id = moments.image_id AND embeddings.moment = moments.moment "
            "WHERE moments.moment > 0 AND embeddings.image_id IS NULL"
        )
        missing = f"NOT EXISTS ({held}) OR id IN ({further})"
        found = f"SELECT id, digest FROM images WHERE {missing} ORDER BY id"
        return self._reader.rows(found, (model_id, model_id))

    def is_complete(self, model_id: int) -> bool:
        """Return whether this model has encoded every moment of every image, by three counts."""
        further = "SELECT count(*) FROM moments WHERE moment > 0"
        images = self._reader.number("SELECT count(*) FROM images")
        return self.count_vectors(model_id) == images + self._reader.number(further)

    def vector(self, model_id: int, image_id: int, moment: int = 0) -> NDArray[np.float32] | None:
        """Return a moment's vector, (D,), unit L2 norm up to float16 rounding; else None."""
        one = "SELECT vector FROM embeddings WHERE model_id = ? AND image_id = ? AND moment = ?"
        rows = self._reader.rows(one, (model_id, int(image_id), moment))
        return np.frombuffer(rows[0][0], "<f2").astype(np.float32) if rows else None

    def of_image(self, model_id: int, image_id: int) -> NDArray[np.float32] | None:
        """Return the vectors of an image's moments, (M, D), in order; None if it has none."""
        every = "SELECT vector FROM embeddings WHERE model_id = ? AND image_id = ? ORDER BY moment"
        rows = self._reader.rows(every, (model_id, int(image_id)))
        stored = np.frombuffer(b"".join(vector for (vector,) in rows), "<f2").astype(np.float32)
        return stored.reshape(len(rows), -1) if rows else None

    def vectors_of(self, model_id: int, ids: Sequence[int]) -> dict[int, bytes]:
        """Return the vectors with these ids as stored bytes, by id; some may not exist."""
        return dict(self._those(model_id, "vector", ids))

    def hubness(self, model_id: int, ids: Sequence[int]) -> dict[int, float]:
        """Return the hubness (mean + deviation) of the vectors with these ids, if measured."""
        measured = self._those(model_id, "bank_mean + bank_deviation", ids)
        return {id: hubness for id, hubness in measured if hubness is not None}

    def deviation(self, model_id: int) -> float | None:
        """Return the mean deviation of cosines to the query bank, of some vectors; else None."""
        some = "SELECT bank_deviation AS one FROM embeddings WHERE model_id = ? LIMIT 1000"
        rows = self._reader.rows(f"SELECT avg(one) FROM ({some}) AS among", (model_id,))
        return rows[0][0]  # type: ignore[no-any-return]

    def further(self, allowed: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the sorted ids of the further vectors of these images."""
        if len(allowed) <= LIST_LENGTH:
            found = "SELECT image_id, moment FROM moments WHERE moment > 0 AND image_id IN"
            some = allowed.tolist()
            rows = self._reader.rows(f"{found} ({marks(some)})", some)
        else:
            rows = self._reader.rows("SELECT image_id, moment FROM moments WHERE moment > 0")
        ids = np.fromiter((vector_id(*row) for row in rows), np.int64, len(rows))
        return np.sort(ids[np.isin(ids & IMAGE, allowed)])

    def vectors(
        self, model_id: int, after: int = 0, batch: int = PAGE, *, firsts: bool = False
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Yield ids and vectors like `measured`, without hubness."""
        for ids, vectors, _ in self.measured(model_id, after, batch, firsts=firsts):
            yield ids, vectors

    def measured(
        self, model_id: int, after: int = 0, batch: int = PAGE, *, firsts: bool = False
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float32]]]:
        """Yield ids (n,), ascending, of the vectors of images above `after`, the vectors (n, D) and
        their hubness (n,), which is 0 if it was not measured; `batch` at a time.

        firsts: only the first moment of each image.
        """
        page = (
            "SELECT image_id, vector, coalesce(bank_mean + bank_deviation, 0) FROM embeddings "
            "WHERE model_id = ? AND image_id > ? AND moment = 0 ORDER BY image_id LIMIT ?"
        )
        last = after
        while rows := self._reader.rows(page, (model_id, last, batch)):
            yield _columns(rows)
            last = int(rows[-1][0])
        if firsts:
            return
        further = "SELECT image_id, moment FROM moments WHERE moment > 0 AND image_id > ?"
        ids = sorted(vector_id(*row) for row in self._reader.rows(further, (after,)))
        for start in range(0, len(ids), batch):
            columns = "vector, coalesce(bank_mean + bank_deviation, 0)"
            if found := sorted(self._those(model_id, columns, ids[start : start + batch])):
                yield _columns(found)

    def _those(self, model_id: int, columns: str, ids: Sequence[int]) -> Iterator[Any]:
        """Yield the ids of those of these vectors that exist, each with more columns."""
        first = f"SELECT image_id, {columns} FROM embeddings WHERE model_id = ? AND moment = 0"
        for chunk in chunks([id for id in ids if 0 <= id <= IMAGE]):
            yield from self._reader.rows(
                f"{first} AND image_id IN ({marks(chunk)})", (model_id, *chunk)
            )
        further = [(id & IMAGE, id >> BITS) for id in ids if id > IMAGE]
        for start in range(0, len(further), LIST_LENGTH):
            some = further[start : start + LIST_LENGTH]
            asked = ", ".join(["(?, ?)"] * len(some))
            found = (
                f"WITH asked (image, number) AS (VALUES {asked}) "
                f"SELECT image_id, moment, {columns} FROM asked JOIN embeddings "
                "ON image_id = image AND model_id = ? AND moment = number"
            )
            values = (*(value for pair in some for value in pair), model_id)
            for image_id, moment, *rest in self._reader.rows(found, values):
                yield vector_id(image_id, moment), *rest


def _columns(
    rows: Sequence[tuple[int, bytes, float]],
) -> tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float32]]:
    ids = np.array([id for id, _, _ in rows], np.int64)
    vectors = np.frombuffer(b"".join(vector for _, vector, _ in rows), "<f2")
    hubness = np.array([hubness for _, _, hubness in rows], np.float32)
    return ids, vectors.reshape(len(ids), -1), hubness
