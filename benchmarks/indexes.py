"""The kinds of index at 10 k, 100 k and 1 M vectors: milliseconds, recall, size, build time."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import PictureLike
from benchmarks.harness.report import Cell, Row
from benchmarks.harness.timing import repeat
from indexes import IndexSpec, VectorIndex
from indexes.recall import recall, text_like

DIM = 512
COUNTS = (10_000, 100_000, 1_000_000)
QUERIES = 200


def run(folder: Path, quick: bool) -> Iterator[Row]:
    """Measure with queries as far from the pictures as captions are.

    IVF reads as many lists as its build chose.
    """
    source = PictureLike(DIM)
    queries = text_like(source.draw(10_000, seed=-1 % 2**32), QUERIES, np.random.default_rng(2))
    for count in COUNTS[:2] if quick else COUNTS:
        exact: NDArray[np.int64] | None = None
        for spec in (IndexSpec("flat"), IndexSpec("ivf", lists=round(2 * count**0.5))):
            path, start = folder / f"{spec.kind}-{count}.faiss", time.perf_counter()
            index = VectorIndex.build(path, source.batches(count), spec, DIM)
            seconds = time.perf_counter() - start
            found = index.search(queries, 10)[1]
            exact = found if exact is None else exact
            yield measured(index, queries, seconds) | {"recall@10": round(recall(found, exact), 4)}


def measured(index: VectorIndex, queries: NDArray[np.float32], seconds: float) -> dict[str, Cell]:
    each = iter(np.tile(queries, (2, 1))[:, None])  # (1, D) at a time
    times = repeat(lambda: index.search(next(each), 10), 100)
    tenth = np.arange(1, index.last_id, 10)
    filtered = repeat(lambda: index.search(queries[:1], 10, tenth), 20)
    return {
        "vectors": index.count,
        "kind": index.kind,
        "lists read": index.probes or None,
        "p50 ms": 1e3 * times.p50,
        "p99 ms": 1e3 * times.p99,
        "p50 ms, 1 in 10 allowed": 1e3 * filtered.p50,
        "bytes a vector": index.path.stat().st_size / index.count,
        "build s": seconds,
    }
