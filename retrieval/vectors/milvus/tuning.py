"""The index of a collection: of the kind that suits its size, and with the effort that keeps
recall@10 of text-like queries at 0.99, with a filter and without, as measured against an exact scan
of the catalog.
"""

import json
from typing import NamedTuple

import numpy as np

from indexes.recall import recall, text_like
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import settings
from retrieval.catalog.selection import Selection
from retrieval.records import ModelRecord
from retrieval.vectors.hubness import HUBNESS_WEIGHT, is_measured
from retrieval.vectors.milvus.address import MilvusAddress
from retrieval.vectors.milvus.collection import EFFORT, IndexKind, MilvusCollection
from retrieval.vectors.milvus.entities import with_weights
from retrieval.vectors.scan import CatalogScan

EFFORT_SETTING = "vectors.effort"
MAX_FLAT = 100_000  # vectors; a scan of more is slower than a graph
MAX_FLAT_LITE = 1_000_000  # in Lite: its graph of 100,000 was as slow and took minutes to build
MAX_HNSW = 20_000_000  # vectors; a graph and its vectors stay in memory, 1.3 KB each at 512 D
MIN_RECALL, MIN_EFFORT, MAX_EFFORT = 0.995, 64, 4_096  # a little more than is asked of others
KEPT = 0.1  # of the images, by a filter that is measured as well: a graph finds less behind one
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
    longer, scan = with_weights(queries, weights), CatalogScan(catalog, model)
    last = int(KEPT * catalog.images.last_id())
    first_ones = Selection.of(np.arange(1, last + 1))
    exact = {
        expression: scan.search(queries, FOUND, allowed, weights).ids
        for expression, allowed in (("", None), (f"image <= {last}", first_ones))
    }
    effort = MIN_EFFORT
    while True:
        tried = Effort(kind, count, effort)
        found = {
            each: collection.search(longer, FOUND, each, tried.params(FOUND)) for each in exact
        }
        least = min(recall(found[each][1], exact[each]) for each in exact)
        tried = tried._replace(recall=least)
        if tried.recall >= MIN_RECALL or effort >= MAX_EFFORT:
            return tried
        effort *= 2
