"""The collection compared with the catalog: which vectors it has, and some of them in full."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.queries.vector_ids import image_of
from retrieval.catalog.reading import Catalog
from retrieval.records import ModelRecord
from retrieval.vectors.milvus.collection import MilvusCollection
from retrieval.vectors.milvus.entities import FACTS, Entity, entities_of

SAMPLE = 1_000  # vectors that are compared in full, with their facts


def disagreements(
    catalog: Catalog, model: ModelRecord, collection: MilvusCollection
) -> Iterator[str]:
    """Yield a sentence for each way in which the two differ, apart from the images in the outbox.

    Raises VectorsUnavailable.
    """
    waiting = np.array(catalog.holdings.waiting(catalog.images.count()), np.int64)
    pages = (page for page, _ in catalog.embeddings.vectors(model.id))
    expected = _settled(pages, waiting)
    listed = (np.array([row["id"] for row in page]) for page in collection.rows("", ["id"]))
    held = _settled(listed, waiting)
    lacking = np.setdiff1d(expected, held, assume_unique=True)
    images = np.unique(image_of(lacking)).tolist()
    if missing := len(catalog.holdings.of(model.id, images)):  # those without a file don't count
        yield f"{collection.name} lacks {missing:,} pictures"
    if more := len(np.setdiff1d(held, expected, assume_unique=True)):
        yield f"{collection.name} holds {more:,} vectors that the catalog does not"
    both = np.intersect1d(held, expected, assume_unique=True)
    some = np.random.default_rng().choice(both, min(SAMPLE, len(both)), replace=False)
    if other := _different(catalog, model, collection, some):
        yield f"{collection.name} holds {other:,} of {len(some):,} pictures otherwise"


def _settled(pages: Iterator[NDArray[np.int64]], waiting: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sorted ids of all pages, without those of images in the outbox."""
    ids = np.unique(np.concatenate([np.empty(0, np.int64), *pages]))
    return ids[np.isin(image_of(ids), waiting, invert=True)]


def _different(
    catalog: Catalog, model: ModelRecord, collection: MilvusCollection, ids: NDArray[np.int64]
) -> int:
    """Count the vectors that are not as the catalog has them, or have other facts."""
    images = np.unique(image_of(ids)).tolist()
    found = (entities_of(one, np.float16) for one in catalog.holdings.of(model.id, images))
    expected = {row["id"]: row for rows in found for row in rows}
    if not len(ids):
        return 0
    fields = ["id", "vector", *FACTS]
    pages = collection.rows(f"id in {ids.tolist()}", fields)
    rows = [row for page in pages for row in page if row["id"] in expected]
    return sum(not _is_same(expected[row["id"]], row) for row in rows)


def _is_same(one: Entity, other: Entity) -> bool:
    facts = all(_plain(one[name]) == _plain(other[name]) for name in FACTS)
    return facts and np.array_equal(one["vector"], _numbers(other["vector"]))


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _numbers(vector: object) -> NDArray[np.float16]:
    """Return a vector as read from a collection: a list of numbers, or bytes of float16."""
    if isinstance(vector, list) and vector and isinstance(vector[0], bytes):
        vector = b"".join(vector)
    if isinstance(vector, bytes):
        return np.frombuffer(vector, "<f2")
    return np.asarray(vector).astype(np.float16)
