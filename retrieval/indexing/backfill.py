"""What is missing of known images, from any of their files: the vector of a model, or what the EXIF
and the pixels say whatever the model.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import LIST_LENGTH
from retrieval.decoding.pool import Pool
from retrieval.decoding.task import Task
from retrieval.records import Decoded, Shot


@dataclass(frozen=True, slots=True)
class Reread:
    """An image, read again; neither of the two where no file holds it now that can be read."""

    image_id: int
    digest: bytes
    decoded: Decoded | None = None
    shot: Shot | None = None
    difference_hash: bytes | None = None


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
