"""Queries about vectors: those of some images, all of a model in pages, and counts."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.database import chunks, marks
from retrieval.catalog.queries.reader import Reader


class Embeddings:
    """The vectors of a catalog, by model and image; so far only of first moments."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def count(self, model_id: int, up_to: int | None = None) -> int:
        """Count the images with an embedding of this model, of those with an id up to `up_to`."""
        last = int(np.iinfo(np.int64).max) if up_to is None else up_to
        counted = (
            "SELECT count(*) FROM embeddings WHERE model_id = ? AND image_id <= ? AND moment = 0"
        )
        return self._reader.number(counted, (model_id, last))

    def at_least(self, model_id: int, limit: int) -> int:
        """Count the images with an embedding of this model, but stop at `limit`."""
        some = "SELECT 1 FROM embeddings WHERE model_id = ? AND image_id > 0 AND moment = 0 LIMIT ?"
        return self._reader.number(f"SELECT count(*) FROM ({some})", (model_id, limit))

    def missing(self, model_id: int | None) -> list[tuple[int, bytes]]:
        """Return (id, digest) of the images not encoded by this model (None: no model yet)."""
        missing = "SELECT id, digest FROM images WHERE id NOT IN "
        held = "(SELECT image_id FROM embeddings WHERE model_id = ? AND moment = 0) ORDER BY id"
        return self._reader.rows(missing + held, (model_id,))

    def vector(self, model_id: int, image_id: int) -> NDArray[np.float32] | None:
        """Return an image's vector, (D,), unit L2 norm up to float16 rounding; else None."""
        one = "SELECT vector FROM embeddings WHERE model_id = ? AND image_id = ? AND moment = 0"
        rows = self._reader.rows(one, (model_id, int(image_id)))
        return np.frombuffer(rows[0][0], "<f2").astype(np.float32) if rows else None

    def vectors_of(self, model_id: int, ids: Sequence[int]) -> dict[int, bytes]:
        """Return the vectors of these images as stored bytes, by id; some may have none."""
        those = "model_id = ? AND moment = 0 AND image_id IN"
        of = f"SELECT image_id, vector FROM embeddings WHERE {those}"
        found: dict[int, bytes] = {}
        for chunk in chunks(ids):
            found.update(self._reader.rows(f"{of} ({marks(chunk)})", (model_id, *chunk)))
        return found

    def vectors(
        self, model_id: int, after: int = 0, batch: int = 2_500
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Yield ids (n,) above `after`, ascending, and their vectors (n, D), `batch` at a time."""
        for ids, vectors, _ in self.measured(model_id, after, batch):
            yield ids, vectors

    def measured(
        self, model_id: int, after: int = 0, batch: int = 2_500
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16], NDArray[np.float32]]]:
        """Yield ids and vectors like `vectors`, and hubness (n,); 0 if it was not measured."""
        page = (
            "SELECT image_id, vector, coalesce(bank_mean + bank_deviation, 0) FROM embeddings "
            "WHERE model_id = ? AND image_id > ? AND moment = 0 ORDER BY image_id LIMIT ?"
        )
        while rows := self._reader.rows(page, (model_id, after, batch)):
            ids = np.array([id for id, _, _ in rows], np.int64)
            vectors = np.frombuffer(b"".join(vector for _, vector, _ in rows), "<f2")
            hubness = np.array([hubness for _, _, hubness in rows], np.float32)
            yield ids, vectors.reshape(len(ids), -1), hubness
            after = int(ids[-1])

    def hubness(self, model_id: int, ids: Sequence[int]) -> dict[int, float]:
        """Return the hubness (mean + deviation) of these images, by id, if it was measured."""
        hubness: dict[int, float] = {}
        for chunk in chunks(ids):
            hubness.update(
                self._reader.rows(
                    "SELECT image_id, bank_mean + bank_deviation FROM embeddings WHERE "
                    f"model_id = ? AND moment = 0 AND image_id IN ({marks(chunk)}) "
                    "AND bank_mean IS NOT NULL",
                    (model_id, *chunk),
                )
            )
        return hubness
