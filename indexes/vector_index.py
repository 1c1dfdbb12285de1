"""`VectorIndex`: ids and unit vectors in a memory-mapped file; the nearest ids and their scores."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.exact import best
from indexes.layout import Footer, map_index, opened, read_footer
from indexes.read_ahead import read_ahead
from indexes.spec import IndexSpec, Kind

if TYPE_CHECKING:
    from indexes.builder import Batches


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
        self._starting = threading.Lock()

    @staticmethod
    def build(path: Path, batches: "Batches", spec: IndexSpec, dim: int) -> "VectorIndex":
        """Write the index of `batches` to `path`, atomically, and open it.

        batches: ids (n,) int64, rising from batch to batch, and vectors (n, dim), float16 or
        float32, unit L2 norm. Raises ValueError when they are not so, OSError as the disk does.
        """
        from indexes import builder  # who only searches needs none of it, nor numpy.random

        builder.build(path, batches, spec, dim)
        return VectorIndex.open(path)

    @staticmethod
    def open(path: Path) -> "VectorIndex":
        """Map the file; nothing but its skeleton is read. Raises DamagedIndex."""
        with opened(path) as file:
            return VectorIndex(path, read_footer(file), map_index(file))

    def read_ahead(self) -> None:
        """Begin to bring the file into memory, in the background. A search waits for it."""
        with self._starting:
            if self._ahead is None:
                self._ahead = threading.Thread(target=read_ahead, args=(self.path,), daemon=True)
                self._ahead.start()

    def search(
        self, queries: NDArray[np.float32], limit: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest vectors to each of `queries` (Q, D) float32, among the ids `allowed`, or all.

        Returns inner products and ids (Q, k), best first, k at most `limit`; an id of -1 stands for
        none. Equal scores are in the order of their ids.
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
        parameters = self._parameters(allowed)
        with one_thread_for_one_query(len(queries)):
            rows = np.ascontiguousarray(queries, np.float32)
            scores, ids = self._index.search(rows, limit, params=parameters)
        return best(scores, ids, limit)

    def _parameters(self, allowed: NDArray[np.int64] | None) -> faiss.SearchParameters | None:
        # FAISS's stubs describe the constructors of C++, its wrappers take these.
        selector = None if allowed is None else faiss.IDSelectorBitmap(bitmap(allowed))  # type: ignore[call-arg,arg-type]
        if self.kind == "ivf":
            share = 1.0 if allowed is None else len(allowed) / self.count
            # Lists hold fewer of those allowed: as many more are read, for about the same work.
            probes = min(self.lists, round(self.probes / share))
            return faiss.SearchParametersIVF(nprobe=probes, sel=selector)  # type: ignore[call-arg]
        return None if selector is None else faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]


@contextmanager
def one_thread_for_one_query(queries: int) -> Iterator[None]:
    """Keep FAISS from gathering threads that have nothing to do: it can double the time.

    FAISS shares out queries, not vectors; and one thread scans as fast as memory delivers.
    """
    threads = faiss.omp_get_max_threads()  # of this Python thread alone
    faiss.omp_set_num_threads(1 if queries == 1 else threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def bitmap(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """One bit an id, for FAISS's IDSelectorBitmap: twice as fast as its IDSelectorBatch."""
    bits = np.zeros(int(ids.max()) + 1, np.bool_)
    bits[ids] = True
    return np.packbits(bits, bitorder="little")
