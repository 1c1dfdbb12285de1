"""What is missing of known images, read from any of their files: the vector of a model, or what the
EXIF and the pixels say whatever the model.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import LIST_LENGTH
from retrieval.decoding.pool import Pool
from retrieval.decoding.task import Task
from retrieval.indexing.recorder import ROWS_PER_COMMIT
from retrieval.indexing.tally import NewPicture, Tally
from retrieval.records import Decoded, Shot
from retrieval.vectors import index_file
from retrieval.vectors.hubness import QueryBank, is_measured, query_bank_digest

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder


@dataclass(frozen=True, slots=True)
class Reread:
    """An image, read again; neither of the two where no file holds it now that can be read."""

    image_id: int
    digest: bytes
    decoded: Decoded | None = None
    shot: Shot | None = None
    difference_hash: bytes | None = None


class Backfill:
    """Brings images that an older version indexed, or another model, up to what is kept now."""

    def __init__(
        self,
        catalog: Catalog,
        model: "ModelFolder",
        pool: Pool,
        max_pixels: int,
        window: int,
        tally: Tally,
    ) -> None:
        """window: files that are under way at a time."""
        self.has_measured = False  # any vector
        self._tally = tally
        self._catalog = catalog
        self._model = model
        self._pool = pool
        self._max_pixels = max_pixels
        self._window = window

    def _without_vector(self) -> list[tuple[int, bytes]]:
        """Return (image id, digest) of what this model has not encoded: all, when it is to take the
        place of another.
        """
        model = self._catalog.model(self._model.digest)
        if model and self._catalog.embeddings.count(model.id) == self._catalog.images.count():
            return []  # as nearly always; two counts, not a comparison of two lists
        return self._catalog.embeddings.missing(model.id if model else None)

    def pictures(self, expect: Callable[[int], None]) -> Iterator[NewPicture | None]:
        """Decode again what this model has not encoded. None: that one cannot be read now.

        expect: told how many there are before the first of them is decoded.
        """
        missing = self._without_vector()
        self._tally.backfilled = len(missing)
        expect(len(missing))
        for image in self._reread(missing, self._model.config.vision.image_size):
            if image.decoded:
                index_file.outdate(self._catalog, self._model.digest)
                yield NewPicture.of(image.digest, image.decoded)
            else:
                self._tally.unread.append(image.image_id)
                yield None

    def described(self) -> Iterator[None]:
        """Read the EXIF, and take the difference hash, of images that were indexed when these were
        not kept; encode nothing.
        """
        if not (missing := self._catalog.images.undescribed()):
            return
        from retrieval.catalog import writing

        shots: dict[int, Shot] = {}
        hashes: dict[int, bytes] = {}
        for image in self._reread(missing, None):
            if image.shot:
                shots[image.image_id] = image.shot
            if image.difference_hash:
                hashes[image.image_id] = image.difference_hash
            if len(shots) >= ROWS_PER_COMMIT:
                writing.describe(self._catalog, shots, hashes)
                shots, hashes = {}, {}
            yield
        writing.describe(self._catalog, shots, hashes)

    def measured(self, load: Callable[[], QueryBank] | None) -> Iterator[None]:
        """Measure the hubness of vectors that no query bank, or another one, has measured: all of
        the model's, once.
        """
        model = self._catalog.model(self._model.digest)
        if load is None or model is None or is_measured(model):
            return
        from retrieval.catalog import writing

        query_bank = load()
        for ids, vectors in self._catalog.embeddings.vectors(model.id):
            hubness = dict(zip(ids.tolist(), query_bank.measure(vectors), strict=True))
            writing.measure(self._catalog, model, hubness)
            yield
        writing.all_measured(self._catalog, model, query_bank_digest())
        self.has_measured = True

    def _reread(self, missing: Sequence[tuple[int, bytes]], side: int | None) -> Iterator[Reread]:
        return reread(self._catalog, missing, self._pool, side, self._max_pixels, self._window)


def reread(
    catalog: Catalog,
    missing: Sequence[tuple[int, bytes]],
    pool: Pool,
    side: int | None,
    max_pixels: int,
    window: int,
) -> Iterator[Reread]:
    """Decode each of these (image id, digest) for a model of `side` pixels (None: describe it),
    in any order.
    """
    waiting = _places(catalog, missing)
    flights: dict[int, tuple[bytes, list[bytes]]] = {}  # image id -> digest, paths not yet tried

    def submit(image_id: int, paths: list[bytes]) -> None:
        pool.submit(Task(image_id, paths.pop(), side, max_pixels, describe=side is None))

    more = True
    while more or flights:
        while more and pool.pending < window:
            if (place := next(waiting, None)) is None:
                more = False
                break
            image_id, digest, paths = place
            if paths:
                flights[image_id] = (digest, paths)
                submit(image_id, paths)
            else:
                yield Reread(image_id, digest)
        if flights and (result := pool.collect()):
            digest, paths = flights.pop(result.key)
            if result.digest == digest and (result.decoded or result.shot):
                yield Reread(
                    result.key, digest, result.decoded, result.shot, result.difference_hash
                )
            elif paths:  # this file changed, or cannot be read: there are copies
                flights[result.key] = (digest, paths)
                submit(result.key, paths)
            else:
                yield Reread(result.key, digest)


def _places(
    catalog: Catalog, missing: Sequence[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """(image id, digest, absolute paths) of these images."""
    for start in range(0, len(missing), LIST_LENGTH):
        some = missing[start : start + LIST_LENGTH]
        images = catalog.images.by_id([image_id for image_id, _ in some])
        for image_id, digest in some:
            image = images.get(image_id)
            yield image_id, digest, [os.fsencode(path) for path in image.paths] if image else []
