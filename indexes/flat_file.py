"""The ids and float16 codes of a flat file, mapped, and exact scores of some of them."""

import mmap
import os
import threading
from bisect import bisect_right
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from indexes.exact import best
from indexes.layout import Footer, array_in, codes_head, index_in
from indexes.read_ahead import are_in_memory
from indexes.threads import MAX_SCANNERS, one_thread_for_one_query, scanners

SEED = 20
SCORED_ROWS = 2_048  # at a time: some 2 MB, which the processor's cache holds
ROWS_PER_THREAD = 2_000  # half a millisecond
PROBED_ROWS = 32  # of those to be read; if all are in memory, so are the others


class FlatFile:
    """Ids (N,), rising, and float16 codes (N, D) of a flat file."""

    def __init__(self, file: BinaryIO, footer: Footer) -> None:
        shape = (footer.count, footer.dim)
        self.file, self.footer = file, footer
        self.codes = array_in(file, "<f2", footer.body_start, shape)
        self.ids = array_in(file, "<i8", footer.body_end + 8, shape[:1])

    def sample(self, count: int) -> NDArray[np.float32]:
        """Return `count` vectors, or all if there are fewer, from anywhere in the file, float32."""
        chosen = np.random.default_rng(SEED).permutation(len(self.ids))[:count]
        return self.codes[np.sort(chosen)].astype(np.float32)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of these ids, rising; of those that the file does not hold, none."""
        ids = np.unique(ids)
        firsts, further = np.split(ids, [np.searchsorted(ids, self.footer.last_id, "right")])
        end = bisect_right(self.ids, self.footer.last_id)
        parts = places(firsts, self.ids[:end]), end + places(further, self.ids[end:])
        return np.concatenate(parts)


def places(ids: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where `held` has these ids; both rise.

    Without gaps in `held`, an id would tell its place; each gap moves it by one at most. NumPy's
    `searchsorted` would copy all ids of a mapped file, which are not aligned.
    """
    if not len(held):
        return np.empty(0, np.int64)
    first, last = int(held[0]), int(held[-1])
    ids = ids[slice(*np.searchsorted(ids, [first, last + 1]))]
    low = np.maximum(ids - last + (len(held) - 1), 0)
    high = np.minimum(ids - first, len(held) - 1)
    while np.any(low < high):
        middle = (low + high) // 2
        is_above = held[middle] < ids
        low, high = np.where(is_above, middle + 1, low), np.where(is_above, high, middle)
        low = np.minimum(low, high)
    found: NDArray[np.int64] = low[held[low] == ids]
    return found


class RandomRows:
    """The vectors of a flat file that is larger than memory, read here and there."""

    def __init__(self, file: BinaryIO, flat: FlatFile) -> None:
        self.flat = flat
        self._file = os.dup(file.fileno())
        self._of_thread = threading.local()
        advise_random(flat.codes)

    def __del__(self) -> None:
        os.close(self._file)

    def nearest(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], limit: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the best of these rows, rising, for a query (1, D): scores and ids (1, k)."""
        if not len(rows):
            return np.empty((1, 0), np.float32), np.empty((1, 0), np.int64)
        self._will_need(rows)
        threads = min(1 + len(rows) // ROWS_PER_THREAD, MAX_SCANNERS)
        parts = np.array_split(rows, max(threads, -(-len(rows) // SCORED_ROWS)))
        found = scanners().map(lambda part: self._scored(query, part, limit), parts)
        scores, ids = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return best(scores, ids, limit)

    def _scored(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], limit: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if not hasattr(self._of_thread, "gathered"):
            self._of_thread.gathered = Gathered(self.flat.footer.dim)
        scores, places = self._of_thread.gathered.search(self.flat.codes, rows, query, limit)
        return scores, self.flat.ids[rows][places]

    def _will_need(self, rows: NDArray[np.int64]) -> None:
        """Ask for rows that are only on the disk, all at once, so that it reads many at a time."""
        offsets = (self.flat.footer.body_start + rows * (2 * self.flat.footer.dim)).tolist()
        if are_in_memory(self._file, offsets[:: max(len(offsets) // PROBED_ROWS, 1)]):
            return
        with suppress(AttributeError, OSError):  # not on every system
            for offset in offsets:
                os.posix_fadvise(
                    self._file, offset, 2 * self.flat.footer.dim, os.POSIX_FADV_WILLNEED
                )


class Gathered:
    """Vectors that are copied to one place, where FAISS reads them; for use by one thread."""

    def __init__(self, dim: int) -> None:
        head = codes_head(dim, SCORED_ROWS)
        start = -(-len(head) // 64) * 64  # so that vectors are aligned
        held = np.empty(start + SCORED_ROWS * dim * 2, np.uint8)
        held[start - len(head) : start] = np.frombuffer(head, np.uint8)
        self._vectors = held[start:].view(np.float16).reshape(SCORED_ROWS, dim)
        self._index = index_in(held[start - len(head) :])

    def search(
        self,
        codes: NDArray[np.float16],
        rows: NDArray[np.int64],
        query: NDArray[np.float32],
        limit: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the best of some rows, at most SCORED_ROWS: their scores, and places in `rows`."""
        count = len(rows)
        np.take(codes, rows, axis=0, out=self._vectors[:count], mode="clip")  # unbuffered
        self._index.ntotal = count
        with one_thread_for_one_query(1):
            found: tuple[NDArray[np.float32], NDArray[np.int64]]
            found = self._index.search(query, min(limit, count))
        return found


def advise_random(array: NDArray[Any]) -> None:
    """Tell the system not to read around what is read of a mapped array."""
    with suppress(AttributeError, OSError, ValueError):  # not on every system
        array._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
