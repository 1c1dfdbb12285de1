"""The ids and float16 codes of a flat file, mapped, and exact scores of some of them."""

import mmap
import os
from contextlib import suppress
from typing import Any, BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.exact import best
from indexes.layout import Footer, array_in
from indexes.read_ahead import are_in_memory
from indexes.threads import MAX_SCANNERS, one_thread_for_one_query, scanners

SEED = 20
SCORED_ROWS = 8_192  # at a time: some 8 MB
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
        rows = np.searchsorted(self.ids, ids)
        rows, ids = rows[rows < len(self.ids)], ids[rows < len(self.ids)]
        held: NDArray[np.int64] = rows[self.ids[rows] == ids]
        return held


class RandomRows:
    """The vectors of a flat file that is larger than memory, read here and there."""

    def __init__(self, file: BinaryIO, flat: FlatFile) -> None:
        self.flat = flat
        self._file = os.dup(file.fileno())
        advise_random(flat.codes)

    def __del__(self) -> None:
        os.close(self._file)

    def nearest(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], limit: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Find the best of these rows, rising, for a query (1, D): scores and ids (1, k)."""
        self._will_need(rows)
        threads = min(1 + len(rows) // ROWS_PER_THREAD, MAX_SCANNERS)
        parts = np.array_split(rows, max(threads, -(-len(rows) // SCORED_ROWS)))
        found = scanners().map(lambda part: self._scored(query, part, limit), parts)
        scores, ids = (np.concatenate(each, axis=1) for each in zip(*found, strict=True))
        return best(scores, ids, limit)

    def _scored(
        self, query: NDArray[np.float32], rows: NDArray[np.int64], limit: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        codes = faiss.ScalarQuantizer.QT_fp16
        some = faiss.IndexScalarQuantizer(self.flat.footer.dim, codes, faiss.METRIC_INNER_PRODUCT)
        some.add_sa_codes(self.flat.codes[rows].view(np.uint8))
        with one_thread_for_one_query(1):
            scores, places = some.search(query, min(limit, len(rows)))
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


def advise_random(array: NDArray[Any]) -> None:
    """Tell the system not to read around what is read of a mapped array."""
    with suppress(AttributeError, OSError, ValueError):  # not on every system
        array._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
