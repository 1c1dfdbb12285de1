"""Milvus Lite beside the FAISS file: the same library, queries and filter, searched by both.

Each search is one text-like query that ranks by cosine minus weighted hubness. Recall is that of an
exact scan of the catalog. The last rows say how well each way of ranking by hubness agrees with the
exact ranking: in two more dimensions of each vector, or by a re-rank of three times as many hits.
"""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import PictureLike
from benchmarks.harness.libraries import SMALL, filled, random_model
from benchmarks.harness.report import Cell, Row
from benchmarks.harness.timing import once, repeat
from indexes.recall import recall, text_like
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import settings
from retrieval.catalog.selection import Selection, selected
from retrieval.filters import Filters
from retrieval.records import ModelRecord
from retrieval.vectors.file_store import FileStore
from retrieval.vectors.hubness import HUBNESS_WEIGHT
from retrieval.vectors.milvus import store as milvus_store
from retrieval.vectors.milvus import tuning
from retrieval.vectors.milvus.collection import MilvusCollection
from retrieval.vectors.milvus.filling import name_of
from retrieval.vectors.milvus.store import MilvusStore
from retrieval.vectors.opening import choose, open_store
from retrieval.vectors.scan import CatalogScan
from retrieval.vectors.store import VectorStore

COUNT, QUICK = 100_000, 3_000
QUERIES, FOUND, TIMED = 100, 10, 60
ALONE = 3  # times as many hits are ranked again where an engine knows cosines alone

COLUMNS = (
    "what",
    *("recall@10, all", "p50 ms, all", "p99 ms, all"),
    *("recall@10, 1 folder", "p50 ms, 1 folder", "p99 ms, 1 folder"),
    "build s",
)

Queries = NDArray[np.float32]


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count, library = QUICK if quick else COUNT, folder / "library"
    filled(library, random_model(folder / "model", SMALL), count)
    sample = PictureLike(SMALL.embed_dim).draw(4_000, seed=1)
    queries = text_like(sample, QUERIES, np.random.default_rng(2))
    milvus_store.MAX_SCANNED = 0  # nothing is answered by the catalog instead
    with closing(Catalog.open(library)) as catalog:
        model = catalog.current_model()
        assert model is not None
        among = selected(catalog, Filters(folder="/nowhere/photos/001"))
        file = FileStore(catalog, model)
        seconds = once(file.refresh)
        yield _row("FAISS file", file, catalog, model, queries, among, seconds)
        choose(catalog, str(folder / "milvus.db"))
        with closing(open_store(catalog, model)) as milvus:
            assert isinstance(milvus, MilvusStore)
            tuning.MAX_FLAT_LITE = 0
            seconds = once(milvus.refresh)
            effort = tuning.effort_of(catalog)
            name = f"Milvus Lite, HNSW, ef {effort.effort}"
            yield _row(name, milvus, catalog, model, queries, among, seconds)
            name = name_of(catalog, model, milvus.address)
            with closing(MilvusCollection(milvus.address, name, model.dim)) as collection:
                seconds = once(lambda: collection.set_index("FLAT"))
            settings.put(catalog, {tuning.EFFORT_SETTING: None})
            yield _row("Milvus Lite, FLAT", milvus, catalog, model, queries, among, seconds)
        yield from _of_hubness(catalog, model, queries)


def _row(
    name: str,
    store: VectorStore,
    catalog: Catalog,
    model: ModelRecord,
    queries: Queries,
    among: Selection | None,
    seconds: float,
) -> Row:
    weights = np.full(len(queries), HUBNESS_WEIGHT, np.float32)
    cells: dict[str, Cell] = {"what": name}
    for said, allowed in (("all", None), ("1 folder", among)):
        exact = CatalogScan(catalog, model).search(queries, FOUND, allowed, weights).ids
        found = store.search(queries, FOUND, allowed, weights).ids
        each = iter(np.tile(queries, (2, 1))[:, np.newaxis])
        search = partial(_next, store, each, allowed, weights[:1])
        times = repeat(search, TIMED)
        cells[f"recall@10, {said}"] = round(recall(found, exact), 4)
        cells[f"p50 ms, {said}"] = 1e3 * times.p50
        cells[f"p99 ms, {said}"] = 1e3 * times.p99
    return cells | {"build s": seconds}


def _of_hubness(catalog: Catalog, model: ModelRecord, queries: Queries) -> Iterator[Row]:
    """Yield how many of the ten best are found, if all cosines are known exactly."""
    scan, weights = CatalogScan(catalog, model), np.full(len(queries), HUBNESS_WEIGHT, np.float32)
    exact = scan.search(queries, FOUND, None, weights).ids
    nearest = scan.search(queries, ALONE * FOUND, None, 0 * weights)
    held = catalog.embeddings.hubness(model.id, [*{*nearest.ids.ravel().tolist()}])
    hubness = np.vectorize(held.__getitem__)(nearest.ids)
    order = np.argsort(-(nearest.scores - HUBNESS_WEIGHT * hubness), axis=1)[:, :FOUND]
    again = np.take_along_axis(nearest.ids, order, axis=1)
    for name, found in (("hubness as dimensions", exact), (f"re-rank of {ALONE} times", again)):
        yield dict.fromkeys(COLUMNS) | {"what": name, COLUMNS[1]: round(recall(found, exact), 4)}


def _next(
    store: VectorStore,
    queries: Iterator[Queries],
    allowed: Selection | None,
    weights: NDArray[np.float32],
) -> None:
    store.search(next(queries), FOUND, allowed, weights)
