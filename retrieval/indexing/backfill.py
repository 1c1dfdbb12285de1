"""Backfill: known images are read again for what the catalog lacks.

That is a model's vector, or the facts from the EXIF and the pixels that depend on no model.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from clipmodel.config import Resize
from retrieval.catalog.database import LIST_LENGTH
from retrieval.catalog.reading import Catalog
from retrieval.decoding.limits import MAX_MOMENTS
from retrieval.decoding.metadata.dates import with_name
from retrieval.decoding.pool import Pool
from retrieval.decoding.task import Task, TaskResult
from retrieval.indexing.recorder import ROWS_PER_COMMIT
from retrieval.indexing.tally import NewPicture, Tally
from retrieval.records import Decoded, Facts, Moment, Shot
from retrieval.sources.entry import Entry
from retrieval.vectors import index_file
from retrieval.vectors.hubness import QueryBank, is_measured, query_bank_digest

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder


@dataclass(frozen=True, slots=True)
class Reread:
    """An image that was read again. Without `decoded`, `shot` and `is_still`, none of its files is
    readable.
    """

    image_id: int
    digest: bytes
    decoded: Decoded | None = None
    facts: Facts | None = None
    shot: Shot | None = None
    difference_hash: bytes | None = None
    differs: bool | None = None  # from what an older version decoded
    is_still: bool = False  # it has one moment, and was not decoded

    @classmethod
    def of(cls, result: TaskResult, digest: bytes, names: Sequence[bytes]) -> "Reread":
        """names: of the image's files."""
        facts = result.facts and with_name(result.facts, names)
        own = result.shot, result.difference_hash, result.differs, result.is_still
        return cls(result.key, digest, result.decoded, facts, *own)


class Backfill:
    """Completes images that an older version or another model indexed."""

    def __init__(
        self,
        catalog: Catalog,
        model: "ModelFolder",
        pool: Pool,
        max_pixels: int,
        tally: Tally,
        max_moments: int = MAX_MOMENTS,
    ) -> None:
        self._max_moments = max_moments
        self.has_measured = False  # whether any vector was measured
        self._tally = tally
        self._catalog = catalog
        self._model = model
        self._pool = pool
        self._max_pixels = max_pixels

    def _without_vector(self) -> list[tuple[int, bytes]]:
        """Return (image id, digest) of the images that this model has not encoded completely.

        If it is going to replace another model, those are all images.
        """
        model = self._catalog.model(self._model.digest)
        if model and self._catalog.embeddings.is_complete(model.id):
            return []  # the usual case, found with counts instead of comparing lists
        return self._catalog.embeddings.missing(model.id if model else None)

    def pictures(self, expect: Callable[[int], None]) -> Iterator[NewPicture | None]:
        """Decode the images that this model has not encoded; yield None for an unreadable one, and
        now and then.

        expect: called with their number before the first is decoded.
        """
        missing = self._without_vector()
        self._tally.backfilled = len(missing)
        expect(len(missing))
        for image in self._reread(missing, self._model.config.pixels):
            if image and image.decoded:
                index_file.outdate(self._catalog, self._model.digest)
                yield NewPicture.of(image.digest, image.decoded)
            else:
                if image:
                    self._tally.unread.append(image.image_id)
                yield None

    def moments(self, expect: Callable[[int], None]) -> Iterator[NewPicture | None]:
        """Decode the further moments of images that an older version encoded as still pictures."""
        still: list[int] = []
        model = self._catalog.model(self._model.digest)
        if model is None or not (unwatched := self._catalog.images.unwatched()):
            return
        for image in self._reread(unwatched, self._model.config.pixels, only_further=True):
            if image and image.decoded:
                expect(1)
                index_file.outdate(self._catalog, self._model.digest)
                yield NewPicture.of(image.digest, image.decoded)
                continue
            if image and image.is_still:
                still.append(image.image_id)
                if len(still) >= ROWS_PER_COMMIT:
                    self._mark(still)
                    still = []
            yield None
        self._mark(still)

    def _mark(self, still: Sequence[int]) -> None:
        from retrieval.catalog import writing  # SQLAlchemy, not needed if nothing changed

        if still:
            writing.mark_still(self._catalog, still)

    def described(self) -> Iterator[None]:
        """Read metadata and difference hash of images indexed by a version that did not keep them,
        and of those whose sidecar has changed. Nothing is encoded, but vectors of an image that
        an older version decoded otherwise are dropped, for `pictures` to encode it again.
        """
        if not (missing := self._catalog.images.undescribed()):
            return
        read: list[Reread] = []
        for image in self._reread(missing, None):
            if image and image.shot:
                read.append(image)
            if len(read) >= ROWS_PER_COMMIT:
                self._describe(read)
                read = []
            yield
        self._describe(read)

    def _describe(self, read: Sequence[Reread]) -> None:
        from retrieval.catalog.recording import facts

        changed = [each.image_id for each in read if each.differs]
        facts.describe(self._catalog, *_by_id(read), changed)

    def measured(self, load: Callable[[], QueryBank] | None) -> Iterator[None]:
        """Measure the hubness of all the model's vectors, unless this query bank already did."""
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

    def _reread(
        self,
        missing: Sequence[tuple[int, bytes]],
        resize: Resize | None,
        *,
        only_further: bool = False,
    ) -> Iterator[Reread | None]:
        how = Asking(resize, self._max_pixels, self._max_moments, only_further)
        return reread(self._catalog, missing, self._pool, how)


class Asking(NamedTuple):
    """What is asked of images that are read again."""

    resize: Resize | None  # how the model's pixels are made; None to describe the images instead
    max_pixels: int
    max_moments: int
    only_further: bool = False  # decode those that have several moments

    def task(self, image_id: int, entry: Entry, at: Sequence[Moment]) -> Task:
        """at: the moments that are known of the image."""
        return Task.of(
            image_id,
            entry,
            self.resize,
            self.max_pixels,
            describe=self.resize is None,
            most=self.max_moments,
            at=at,
            only_further=self.only_further,
        )


def reread(
    catalog: Catalog,
    missing: Sequence[tuple[int, bytes]],
    pool: Pool,
    how: Asking,
) -> Iterator[Reread | None]:
    """Decode these images, given as (image id, digest), and yield them in any order.

    Those with known moments are decoded at these. Yields None now and then, so that the caller can
    do other work.
    """
    waiting = _places(catalog, missing)
    moments = catalog.images.moments([image_id for image_id, _ in missing])
    # image id -> digest, entries not yet tried, the names of all files
    flights: dict[int, tuple[bytes, list[Entry], list[bytes]]] = {}

    def submit(image_id: int, entries: list[Entry]) -> None:
        pool.submit(how.task(image_id, entries.pop(), moments.get(image_id, ())))

    more = True
    while more or flights:
        while more and pool.pending < pool.window:
            if (place := next(waiting, None)) is None:
                more = False
                break
            image_id, digest, entries, names = place
            if entries:
                flights[image_id] = (digest, entries, names)
                submit(image_id, entries)
            else:
                yield Reread(image_id, digest)
        if not flights:
            continue
        if result := pool.collect():
            digest, entries, names = flights.pop(result.key)
            if result.digest == digest and (result.decoded or result.shot or result.is_still):
                yield Reread.of(result, digest, names)
            elif entries:  # this file changed or is unreadable, but there are copies
                flights[result.key] = (digest, entries, names)
                submit(result.key, entries)
            else:
                yield Reread(result.key, digest)
        else:
            yield None


def _places(
    catalog: Catalog, missing: Sequence[tuple[int, bytes]]
) -> Iterator[tuple[int, bytes, list[Entry], list[bytes]]]:
    """Yield (image id, digest, entries, absolute paths) for these images."""
    for start in range(0, len(missing), LIST_LENGTH):
        some = missing[start : start + LIST_LENGTH]
        ids = [image_id for image_id, _ in some]
        images, entries = catalog.images.by_id(ids), catalog.containers.entries(ids)
        for image_id, digest in some:
            image = images.get(image_id)
            names = [os.fsencode(path) for path in image.paths] if image else []
            yield image_id, digest, entries.get(image_id, []), names


def _by_id(
    read: Sequence[Reread],
) -> tuple[dict[int, Shot], dict[int, Facts], dict[int, bytes]]:
    """Return shots, facts and difference hashes by the ids of their images."""
    return (
        {each.image_id: each.shot for each in read if each.shot},
        {each.image_id: each.facts for each in read if each.facts},
        {each.image_id: each.difference_hash for each in read if each.difference_hash},
    )
