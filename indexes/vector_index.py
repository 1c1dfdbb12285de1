"""An index file of ids and unit vectors, mapped into memory and searched by inner product."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.exact import best
from indexes.layout import Footer, map_index, opened, read_footer
from indexes.read_ahead import read_ahead
from indexes.spec import IndexSpec, Kind
from indexes.threads import MAX_SCANNERS, scanners

if TYPE_CHECKING:
    from indexes.builder import Batches

BYTES_PER_THREAD = 16 << 20  # half a millisecond of scanning: less is not worth a thread


class VectorIndex:
    """An index file, open for searching. Any number of threads may search at once."""

    def __init__(self, path: Path, footer: Footer, index: faiss.Index) -> None:
        self.path = path
        self.kind: Kind = footer.kind
        self.dim = footer.dim
        self.count = footer.count  # vectors
        self.last_id = footer.last_id  # the greatest id, -1 when empty
        self.lists = footer.lists  # ivf: how many there are
        self.probes = footer.probes  # ivf: lists that a search reads
        self._index = index
        self._ahead: threading.Thread | None = None

    @staticmethod
    def build(path: Path, batches: "Batches", spec: IndexSpec, dim: int) -> "VectorIndex":
        """Write the index of `batches` to `path`, atomically, and open it.

        batches: ids (n,) int64, rising from batch to batch, and vectors (n, dim), float16 or
        float32, unit L2 norm. Raises ValueError for other batches, and OSError.
        """
        from indexes import builder  # a search needs neither it nor numpy.random

        builder.build(path, batches, spec, dim)
        return VectorIndex.open(path)

    @staticmethod
    def open(path: Path) -> "VectorIndex":
        """Map the file, reading only its skeleton. Raises DamagedIndex."""
        with opened(path) as file:
            return VectorIndex(path, read_footer(file), map_index(file))

    def read_ahead(self) -> None:
        """Start to read the file into memory, in the background. A search waits for it."""
        self._ahead = self._ahead or read_ahead(self.path)

    def search(
        self, queries: NDArray[np.float32], limit: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the nearest vectors to each of `queries` (Q, D) float32.

        allowed: search only these ids. Returns inner products and ids (Q, k), best first, where k
        is at most `limit` and an id of -1 means none. Equal scores are ordered by id.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"queries must be (Q, {self.dim}), not {queries.shape}")
        if allowed is not None:
            allowed = allowed[(allowed >= 0) & (allowed <= self.last_id)]
            limit = min(limit, len(allowed))
        limit = max(min(limit, self.count), 0)
        if limit == 0 or len(queries) == 0:
            shape = (len(queries), limit)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)
        self.read_ahead()
        assert self._ahead is not None
        self._ahead.join()
        rows = np.ascontiguousarray(queries, np.float32)
        search, parts = partial(self._search, rows, limit), self._parts(len(rows), allowed)
        is_alone = len(parts) == len(rows) == 1  # then FAISS starts no threads
        found = map(search, parts) if is_alone else scanners().map(search, parts)
        scores, ids = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return best(scores, ids, limit)

    def _search(
        self, rows: NDArray[np.float32], limit: int, part: faiss.SearchParameters | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        with one_thread_for_one_query(len(rows)):
            return self._index.search(rows, limit, params=part)

    def _parts(
        self, queries: int, allowed: NDArray[np.int64] | None
    ) -> "list[faiss.SearchParameters | None]":
        """Divide the vectors to be searched among as many threads as one query is worth."""
        # FAISS's type stubs describe the C++ constructors; its Python wrappers take these.
        if self.kind == "ivf":
            return [self._probing(allowed)]
        size = 2 * self.dim * (self.count if allowed is None else len(allowed))  # bytes
        threads = min(1 + size // BYTES_PER_THREAD, MAX_SCANNERS) if queries == 1 else 1
        if allowed is not None:
            groups = np.array_split(allowed, threads)
            return [faiss.SearchParameters(sel=among(group)) for group in groups]  # type: ignore[call-arg]
        if threads == 1:
            return [None]
        ends = np.linspace(0, self.last_id + 1, threads + 1).astype(int).tolist()
        ranges = [faiss.IDSelectorRange(*part) for part in pairwise(ends)]
        return [faiss.SearchParameters(sel=each) for each in ranges]  # type: ignore[call-arg]

    def _probing(self, allowed: NDArray[np.int64] | None) -> faiss.SearchParametersIVF:
        if allowed is None:
            return faiss.SearchParametersIVF(nprobe=self.probes)  # type: ignore[call-arg]
        # Fewer vectors of each list are allowed, so more lists are read, for about the same work.
        probes = min(self.lists, round(self.probes * self.count / len(allowed)))
        return faiss.SearchParametersIVF(nprobe=probes, sel=among(allowed))  # type: ignore[call-arg]


@contextmanager
def one_thread_for_one_query(queries: int) -> Iterator[None]:
    """Keep FAISS from waking threads that have nothing to do, which can double the time."""
    threads = faiss.omp_get_max_threads()  # of this Python thread alone
    faiss.omp_set_num_threads(1 if queries == 1 else threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def among(ids: NDArray[np.int64]) -> faiss.IDSelectorBitmap:
    """Return a selector of these ids, which is twice as fast as FAISS's IDSelectorBatch."""
    return faiss.IDSelectorBitmap(bitmap(ids))  # type: ignore[call-arg,arg-type]


def bitmap(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return one bit for each id up to the greatest, set for those in `ids`."""
    bits = np.zeros(int(ids.max()) + 1, np.bool_)
    bits[ids] = True
    return np.packbits(bits, bitorder="little")
