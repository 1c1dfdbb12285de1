"""Search lists of short codes, then compare the best of these exactly, by their float16 vectors."""

from functools import partial
from typing import BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import DamagedIndex
from indexes.exact import best
from indexes.flat_file import FlatFile, RandomRows
from indexes.ivf.layout import ListsFooter
from indexes.ivf.rotation import Rotated
from indexes.layout import array_in, index_in
from indexes.selectors import among
from indexes.threads import MAX_SCANNERS, one_thread_for_one_query, scanners

CODES_PER_ROW = 40  # codes take as long to scan as a vector, which is read from anywhere
CODES_PER_THREAD = 20_000  # half a millisecond
MAX_CANDIDATES = 1 << 22  # at a time, of all queries together


class ListSearch:
    """The lists of an ivf file, and the flat file with the same vectors, mapped."""

    def __init__(self, file: BinaryIO, flat: FlatFile, footer: ListsFooter) -> None:
        self._footer = footer
        self.count = flat.footer.count
        self._rows = RandomRows(file, flat)
        self._rotated = map_lists(file, footer)
        self._index = self._rotated.index

    def search(
        self, queries: NDArray[np.float32], limit: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Search like `VectorIndex.search`, for at least one query and one result."""
        held = self.count if allowed is None else len(allowed)
        rank = max(limit * self.count / held, 1)  # of the last result among all vectors
        lists = min(self._footer.effort.lists_for(rank), self._footer.lists)
        codes = min(round(self._footer.effort.codes_for(rank) * held / self.count), held)
        codes = max(codes, limit)
        scanned = self.count * lists / self._footer.lists
        if (held - codes) * CODES_PER_ROW <= scanned:
            return self._exact(queries, limit, allowed)
        some = max(MAX_CANDIDATES // codes, 1)  # queries at a time
        found = [
            self._approximate(queries[start : start + some], limit, lists, codes, allowed)
            for start in range(0, len(queries), some)
        ]
        return stacked(found, limit)

    def _exact(
        self, queries: NDArray[np.float32], limit: int, allowed: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        flat = self._rows.flat
        rows = np.arange(self.count) if allowed is None else flat.rows_of(allowed)
        each = (queries[number : number + 1] for number in range(len(queries)))
        return stacked([self._rows.nearest(query, rows, limit) for query in each], limit)

    def _approximate(
        self,
        queries: NDArray[np.float32],
        limit: int,
        lists: int,
        codes: int,
        allowed: NDArray[np.int64] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        scores, ids = self.candidates(queries, lists, codes, allowed)
        found = []
        for number, (row, of) in enumerate(zip(scores, ids, strict=True)):
            query = queries[number : number + 1]
            if allowed is not None and np.count_nonzero(of >= 0) < codes:  # they lie elsewhere
                [row], [of] = self.candidates(query, self._footer.lists, codes, allowed)
            chosen = of if len(of) <= codes else of[np.argpartition(-row, codes)[:codes]]
            found.append(self._rows.nearest(query, self._rows.flat.rows_of(chosen), limit))
        return stacked(found, limit)

    def lists_by_nearness(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return all lists in the order in which they are read for each query: (Q, lists)."""
        rotated = self._rotated(queries)
        return scanners().submit(self._nearest_lists, rotated, self._footer.lists).result()[1]

    def candidates(
        self,
        queries: NDArray[np.float32],
        lists: int,
        codes: int,
        allowed: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the best `codes` codes in the nearest `lists` lists.

        Returns approximate scores and ids (Q, `codes` or more), in any order, and -1 for none.
        """
        rotated = self._rotated(queries)
        nearness, nearest = scanners().submit(self._nearest_lists, rotated, lists).result()
        scanned = self.count * lists // self._footer.lists
        threads = min(1 + scanned // CODES_PER_THREAD, MAX_SCANNERS, lists)
        threads = threads if len(queries) == 1 else 1  # FAISS divides queries, not lists
        selector = None if allowed is None else among(allowed)
        scan = partial(self._scan, rotated, codes, selector)
        parts = [(nearest[:, n::threads], nearness[:, n::threads]) for n in range(threads)]
        found = scanners().map(lambda part: scan(*part), parts)
        scores, ids = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return scores, ids

    def _nearest_lists(
        self, queries: NDArray[np.float32], lists: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        with one_thread_for_one_query(len(queries)):
            found: tuple[NDArray[np.float32], NDArray[np.int64]]
            found = self._index.quantizer.search(queries, lists)
        return found

    def _scan(
        self,
        queries: NDArray[np.float32],
        codes: int,
        selector: faiss.IDSelector | None,
        lists: NDArray[np.int64],
        nearness: NDArray[np.float32],
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        # FAISS's type stubs describe the C++ constructors; its Python wrappers take these.
        how = faiss.SearchParametersIVF(nprobe=lists.shape[1], sel=selector)  # type: ignore[call-arg]
        inputs = [np.ascontiguousarray(each) for each in (queries, lists, nearness)]
        of_queries, of_lists, of_nearness = map(faiss.swig_ptr, inputs)
        shape = len(queries), codes
        scores, ids = np.empty(shape, np.float32), np.empty(shape, np.int64)
        to_scores, to_ids = faiss.swig_ptr(scores), faiss.swig_ptr(ids)
        with one_thread_for_one_query(len(queries)):
            # The wrapper without `_c` takes no parameters.
            self._index.search_preassigned_c(  # type: ignore[attr-defined]
                *(len(queries), of_queries, codes, of_lists, of_nearness),
                *(to_scores, to_ids, False, how),
            )
        return scores, ids


def map_lists(file: BinaryIO, footer: ListsFooter) -> Rotated:
    """Map the lists with FAISS."""
    size = footer.body_end - footer.flat_bytes
    data = array_in(file, "u1", footer.flat_bytes, (size,))
    try:
        return Rotated.of(index_in(data))
    except RuntimeError as error:
        raise DamagedIndex("FAISS cannot read it") from error


def stacked(
    found: list[tuple[NDArray[np.float32], NDArray[np.int64]]], limit: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return results of one or more queries each as rows, as wide as the widest of them."""
    width = min(max(ids.shape[1] for _, ids in found), limit)
    count = sum(len(ids) for _, ids in found)
    scores, ids = np.full((count, width), -np.inf, np.float32), np.full((count, width), -1)
    row = 0
    for some_scores, some_ids in found:
        rows, held = some_ids.shape
        scores[row : row + rows, :held], ids[row : row + rows, :held] = some_scores, some_ids
        row += rows
    return best(scores, ids, limit)
