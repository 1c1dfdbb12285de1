"""An index file of ids and unit vectors, mapped into memory and searched by inner product."""

import threading
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.exact import best
from indexes.flat_file import FlatFile
from indexes.ivf.effort import LEVELS
from indexes.ivf.layout import ListsFooter, read_footers
from indexes.ivf.search import ListSearch
from indexes.layout import OWNER, Footer, check_body, map_index, opened
from indexes.read_ahead import read_ahead
from indexes.selectors import among
from indexes.spec import IndexSpec, Kind
from indexes.threads import MAX_SCANNERS, one_thread_for_one_query, scanners

if TYPE_CHECKING:
    from indexes.builder import Batches

BYTES_PER_THREAD = 16 << 20  # half a millisecond of scanning: less is not worth a thread


class VectorIndex:
    """An index file, open for searching. Any number of threads may search at once."""

    def __init__(
        self,
        path: Path,
        footer: Footer,
        lists: ListsFooter | None,
        index: "faiss.Index | ListSearch",
        *,
        has_further: bool,
    ) -> None:
        self.path = path
        self.kind: Kind = "ivf" if lists else "flat"
        self.dim = footer.dim
        self.count = footer.count  # vectors
        self.last_id = footer.last_id  # the greatest first id (see layout.py), -1 when empty
        self.has_further = has_further  # vectors of things that have several
        self.lists = lists.lists if lists else 0  # ivf: how many there are
        self.probes = lists.effort.lists_for(LEVELS[0]) if lists else 0  # that a search reads
        self._index = index
        self._swept_from = lists.flat_bytes if lists else 0  # a search reads all from here on
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
    def grow(path: Path, batches: "Batches") -> "VectorIndex":
        """Add vectors to an ivf index, whose lists stay as they were trained; open it.

        The ids of `batches` rise from above the last in the file, which is replaced atomically.
        Raises ValueError for other batches, DamagedIndex, and OSError.
        """
        from indexes import builder

        builder.grow(path, batches)
        return VectorIndex.open(path)

    @staticmethod
    def open(path: Path) -> "VectorIndex":
        """Map the file, reading only its skeleton. Raises DamagedIndex."""
        with opened(path) as file:
            footer, lists = read_footers(file)
            flat = FlatFile(file, footer)
            index = ListSearch(file, flat, lists) if lists else map_index(file)
            has_further = bool((flat.ids[-1:] > OWNER).any())
            return VectorIndex(path, footer, lists, index, has_further=has_further)

    def read_ahead(self) -> None:
        """Start to read the file into memory, in the background. A search waits for it."""
        self._ahead = self._ahead or read_ahead(self.path, self._swept_from)

    def search(
        self, queries: NDArray[np.float32], limit: int, allowed: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the nearest vectors to each of `queries` (Q, D) float32.

        allowed: search only these ids, which rise. Returns inner products and ids (Q, k), best
        first, where k is at most `limit` and an id of -1 means none. Equal scores are ordered by
        id.
        """
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"queries must be (Q, {self.dim}), not {queries.shape}")
        if allowed is not None:
            allowed = self._possible(allowed)
            limit = min(limit, len(allowed))
        limit = max(min(limit, self.count), 0)
        if limit == 0 or len(queries) == 0:
            shape = (len(queries), limit)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)
        self.read_ahead()
        assert self._ahead is not None
        self._ahead.join()
        rows = np.ascontiguousarray(queries, np.float32)
        if isinstance(self._index, ListSearch):
            return self._index.search(rows, limit, allowed)
        return self._scan(self._index, rows, limit, allowed)

    def _possible(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the rising ids, often millions, that are not beyond what the file has."""
        start, end, further = np.searchsorted(ids, [0, self.last_id + 1, OWNER + 1])
        others = ids[further:]
        if not len(others):
            return ids[start:end]
        return np.concatenate([ids[start:end], others[others & OWNER <= self.last_id]])

    def _scan(
        self,
        index: faiss.Index,
        rows: NDArray[np.float32],
        limit: int,
        allowed: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        search, parts = partial(scan, index, rows, limit), self._parts(index, len(rows), allowed)
        is_alone = len(parts) == len(rows) == 1  # then FAISS starts no threads
        found = map(search, parts) if is_alone else scanners().map(search, parts)
        scores, ids = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return best(scores, ids, limit)

    def _parts(
        self, index: faiss.Index, queries: int, allowed: NDArray[np.int64] | None
    ) -> "list[faiss.SearchParameters | None]":
        """Divide the vectors to be searched among as many threads as one query is worth."""
        # FAISS's type stubs describe the C++ constructors; its Python wrappers take these.
        size = 2 * self.dim * (self.count if allowed is None else len(allowed))  # bytes
        threads = min(1 + size // BYTES_PER_THREAD, MAX_SCANNERS) if queries == 1 else 1
        if allowed is not None:
            groups = np.array_split(allowed, threads)
            return [faiss.SearchParameters(sel=among(group)) for group in groups]  # type: ignore[call-arg]
        if threads == 1:
            return [None]
        ranges = [faiss.IDSelectorRange(*part) for part in pairwise(ends(index, threads))]
        return [faiss.SearchParameters(sel=each) for each in ranges]  # type: ignore[call-arg]


def ends(index: faiss.Index, parts: int) -> list[int]:
    """Return ids that divide those of a flat index, which rise, into parts of equal size."""
    rows = np.linspace(0, index.ntotal, parts + 1).astype(int).tolist()[1:-1]
    ids = index.id_map  # type: ignore[attr-defined]
    return [0, *(ids.at(row) for row in rows), ids.at(index.ntotal - 1) + 1]


def scan(
    index: faiss.Index,
    rows: NDArray[np.float32],
    limit: int,
    part: faiss.SearchParameters | None,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Search a part of a flat index."""
    with one_thread_for_one_query(len(rows)):
        found: tuple[NDArray[np.float32], NDArray[np.int64]]
        found = index.search(rows, limit, params=part)
    return found


def verify(path: Path) -> None:
    """Read every byte of an index file. Raises DamagedIndex if one is not as it was written."""
    with opened(path) as file:
        for footer in read_footers(file):
            if footer:
                check_body(file, footer)
