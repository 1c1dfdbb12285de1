"""Products on all cores, by threads of our own.

BLAS's own spin while they wait for each other: where another program keeps a processor busy, such
as an index run, that takes a hundred times as long. Ours sleep.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from threadpoolctl import ThreadpoolController

from clipmodel.numpy_weights import Floats

MOST = os.cpu_count() or 1  # threads of a product
WORTH = 1 << 21  # multiplications that are worth a thread: 40 us
FEW = 8  # rows: for fewer a product takes as long, since it waits for the matrix

_sharing = threading.Lock()


def product(x: Floats, matrix: Floats) -> Floats:
    """x (R, I) @ matrix (I, O). Of many threads that call at once, one has the help of others."""
    one_thread_of_blas()
    parts = min(MOST, max(len(x), FEW) * matrix.size // WORTH)
    if parts < 2 or not _sharing.acquire(blocking=False):
        return x @ matrix
    try:
        return _shared(x, matrix, parts)
    finally:
        _sharing.release()


@cache
def one_thread_of_blas() -> None:
    """For good: it is a setting of the process, which threads cannot change for each other."""
    for library in ThreadpoolController().select(user_api="blas").lib_controllers:
        if "faiss" not in library.filepath:  # it has one of its own
            library.set_num_threads(1)


def _shared(x: Floats, matrix: Floats, parts: int) -> Floats:
    made = np.empty((len(x), matrix.shape[1]), np.float32)
    ends = [made.shape[1] * part // parts for part in range(parts + 1)]
    ours, *theirs = map(slice, ends, ends[1:])
    waiting = [_threads().submit(np.matmul, x, matrix[:, of], made[:, of]) for of in theirs]
    np.matmul(x, matrix[:, ours], made[:, ours])
    for part in waiting:
        part.result()
    return made


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST - 1, "product")
