"""The index of a collection: of the kind that suits its size, and with the effort that keeps
recall@10 of text-like queries at 0.99, as measured against an exact scan of the catalog.
"""

import json
from typing import NamedTuple

import numpy as np

from indexes.recall import recall, text_like
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import settings
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import HUBNESS_WEIGHT, is_measured
from retrieval.vectors.milvus.address import MilvusAddress
from retrieval.vectors.milvus.collection import EFFORT, IndexKind, MilvusCollection
from retrieval.vectors.milvus.entities import with_weights
from retrieval.vectors.scan import CatalogScan

EFFORT_SETTING = "vectors.effort"
MAX_FLAT_LITE, MAX_FLAT = 20_000, 100_000  # vectors; a scan of more is slower than a graph
MAX_HNSW = 20_000_000  # vectors; a graph and its vectors stay in memory, 1.3 KB each at 512 D
MIN_RECALL, MIN_EFFORT, MAX_EFFORT = 0.99, 64, 4_096
QUERIES, SAMPLE, FOUND = 100, 4_000, 10
GROWTH = 1.5  # after which recall is measured again


class Effort(NamedTuple):
    """How a collection is searched, and what that was measured to give."""

    kind: str = "FLAT"
    vectors: int = 0  # when it was measured
    effort: int = 0
    recall: float = 1.0

    def params(self, limit: int) -> dict[str, int]:
        """Return the parameters of a search for this many."""
        name = EFFORT.get(self.kind)
        return {name: max(self.effort, limit)} if name else {}


def effort_of(catalog: Catalog) -> Effort:
    """Return the effort that was measured last."""
    kept = catalog.holdings.setting(EFFORT_SETTING)
    return Effort(*json.loads(kept)) if kept else Effort()


def tune(catalog: Catalog, model: ModelRecord, collection: MilvusCollection) -> None:
    """Give the collection the index that suits its size, and measure it once it has grown."""
    count, held = collection.count(), effort_of(catalog)
    kind = kind_for(count, collection.address)
    if collection.index_kind() != kind:
        collection.set_index(kind)
    elif held.kind == kind and count <= GROWTH * held.vectors:
        return
    found = Effort(kind, count)
    if kind != "FLAT":
        found = _measured(catalog, model, collection, kind, count)
    settings.put(catalog, {EFFORT_SETTING: json.dumps(found)})


def kind_for(count: int, address: MilvusAddress) -> IndexKind:
    """Return the kind of index for a number of vectors."""
    if count <= (MAX_FLAT_LITE if address.is_lite else MAX_FLAT):
        return "FLAT"
    return "HNSW" if address.is_lite or count <= MAX_HNSW else "DISKANN"


def _measured(
    catalog: Catalog,
    model: ModelRecord,
    collection: MilvusCollection,
    kind: IndexKind,
    count: int,
) -> Effort:
    """Return the least effort with enough recall, or the most that is tried."""
    generator = np.random.default_rng(0)
    _, some = next(catalog.embeddings.vectors(model.id, batch=SAMPLE))
    queries = text_like(some.astype(np.float32), QUERIES, generator)
    weight = HUBNESS_WEIGHT if is_measured(model) else 0.0
    weights = np.full(QUERIES, weight, np.float32)
    exact = CatalogScan(catalog, model).search(queries, FOUND, None, weights).ids
    effort = MIN_EFFORT
    while True:
        tried = Effort(kind, count, effort)
        found = collection.search(with_weights(queries, weights), FOUND, "", tried.params(FOUND))
        tried = tried._replace(recall=recall(found[1], exact))
        if tried.recall >= MIN_RECALL or effort >= MAX_EFFORT:
            return tried
        effort *= 2
