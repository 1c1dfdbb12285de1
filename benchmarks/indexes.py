"""The kinds of index at 10 k, 100 k and 1 M vectors: milliseconds, recall, size, build time."""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import PictureLike
from benchmarks.harness.report import Cell, Row
from benchmarks.harness.timing import Times, once, repeat
from indexes import IndexSpec, VectorIndex, choose_spec
from indexes.exact import best
from indexes.recall import recall, text_like

DIM = 512
COUNTS = (10_000, 100_000, 1_000_000)
TEN_MILLION = 10_000_000
ADDED = 100_000  # vectors, to ten million
QUERIES = 200
ONE_IN = (1, 2, 10, 100)  # vectors are allowed


def run(folder: Path, quick: bool, ten_million: bool = False) -> Iterator[Row]:
    """Measure with queries as far from the pictures as captions are.

    IVF reads as many lists as its build chose.
    """
    source = PictureLike(DIM)
    queries = text_like(source.draw(10_000, seed=-1 % 2**32), QUERIES, np.random.default_rng(2))
    if ten_million:
        yield from of_ten_million(folder / "ten-million.faiss", source, queries)
        return
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


def of_ten_million(
    path: Path, source: PictureLike, queries: NDArray[np.float32], count: int = TEN_MILLION
) -> Iterator[Row]:
    """Measure an index of the kind that is chosen for ten million vectors, by filter."""
    spec = choose_spec(count, DIM)
    build = once(lambda: VectorIndex.build(path, source.batches(count), spec, DIM))
    exact = nearest(source.batches(count), queries)
    rows = list(by_filter(path, queries, exact, build))
    yield from rows
    more = ((ids + count, vectors) for ids, vectors in source.batches(ADDED, seed=count + 1))
    grown = once(lambda: VectorIndex.grow(path, more))
    yield dict.fromkeys(rows[0]) | {"kind": f"{ADDED:,} more", "build s": grown}


def by_filter(
    path: Path, queries: NDArray[np.float32], exact: dict[int, NDArray[np.int64]], build: float
) -> Iterator[Row]:
    """Time one query at a time, as the wall and as the processor see it."""
    index = VectorIndex.open(path)
    for one_in, wanted in exact.items():
        allowed = None if one_in == 1 else np.arange(one_in, index.last_id + 1, one_in)
        index.search(queries[:1], 10, allowed)  # its pages are then mapped
        before = time.process_time()
        timed = [asked(index, query[np.newaxis], allowed) for query in queries]
        processor = (time.process_time() - before) / len(queries)
        times = Times(tuple(seconds for seconds, _ in timed))
        yield {
            "vectors": index.count,
            "kind": index.kind,
            "allowed": 1 / one_in,
            "recall@10": round(recall(np.concatenate([ids for _, ids in timed]), wanted), 4),
            "p50 ms": 1e3 * times.p50,
            "p99 ms": 1e3 * times.p99,
            "processor ms": 1e3 * processor,
            "lists": index.lists,
            "lists read": index.probes,
            "bytes a vector": index.path.stat().st_size / index.count,
            "build s": build,
        }


def asked(
    index: VectorIndex, query: NDArray[np.float32], allowed: NDArray[np.int64] | None
) -> tuple[float, NDArray[np.int64]]:
    """Return the seconds of a search, and what it found, (1, 10)."""
    start = time.perf_counter()
    found = index.search(query, 10, allowed)[1]
    return time.perf_counter() - start, found


def nearest(
    batches: Iterable[tuple[NDArray[np.int64], NDArray[np.float16]]], queries: NDArray[np.float32]
) -> dict[int, NDArray[np.int64]]:
    """Return the ten nearest ids (Q, 10) by brute force, of those that each filter allows."""
    none = np.full((len(queries), 10), -2, np.float32), np.full((len(queries), 10), -1)
    found = dict.fromkeys(ONE_IN, none)
    for ids, vectors in batches:
        scores = queries @ vectors.astype(np.float32).T  # (Q, D) @ (D, n)
        for one_in, (best_scores, best_ids) in found.items():
            hopeful = (scores > best_scores[:, -1:]).any(axis=0) & (ids % one_in == 0)
            some = np.broadcast_to(ids[hopeful], (len(queries), int(hopeful.sum())))
            both = np.hstack([best_scores, scores[:, hopeful]]), np.hstack([best_ids, some])
            found[one_in] = best(*both, 10)
    return {one_in: ids for one_in, (_, ids) in found.items()}
