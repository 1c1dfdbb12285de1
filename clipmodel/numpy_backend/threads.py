"""Products on all cores, by threads of our own.

BLAS's own spin while they wait for each other: where another program keeps a processor busy, such
as an index run, that takes a hundred times as long. Ours sleep.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

from clipmodel.numpy_backend.weights import Floats

WORTH = 1 << 21  # multiplications that are worth a thread: 40 us
FEW = 8  # rows: for fewer a product takes as long, since it waits for the matrix

_sharing = threading.Lock()


def shared_product(x: Floats, matrix: Floats) -> Floats:
    """x (R, I) @ matrix (I, O). Of many threads that call at once, one has the help of others."""
    parts = min(threads_of_blas(), max(len(x), FEW) * matrix.size // WORTH)
    if parts < 2 or not _sharing.acquire(blocking=False):
        return x @ matrix
    try:
        return _shared(x, matrix, parts)
    finally:
        _sharing.release()


@cache
def threads_of_blas() -> int:
    """How many NumPy's BLAS would take. From here on it takes one: that is a setting of the
    process, which threads cannot change for each other.
    """
    held = ThreadpoolController().select(user_api="blas").lib_controllers
    numpys = [each for each in held if "faiss" not in Path(each.filepath).parent.name]  # its own
    most = max((each.num_threads for each in numpys), default=1)
    for each in numpys:
        each.set_num_threads(1)
    return most


def _shared(x: Floats, matrix: Floats, parts: int) -> Floats:
    made = np.empty((len(x), matrix.shape[1]), np.float32)
    is_tall = len(x) > matrix.shape[1]
    longer = max(made.shape)
    ends = [longer * part // parts for part in range(parts + 1)]

    def multiply(of: slice) -> None:
        if is_tall:
            np.matmul(x[of], matrix, made[of])
        else:
            np.matmul(x, matrix[:, of], made[:, of])

    *theirs, ours = map(slice, ends, ends[1:])
    waiting = []
    with suppress(RuntimeError):  # no thread can be started, or Python is about to end
        for of in theirs:
            waiting.append(_threads().submit(multiply, of))
    for of in [*theirs[len(waiting) :], ours]:
        multiply(of)
    for part in waiting:
        part.result()
    return made


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads_of_blas() - 1, "product")


def _begin_anew() -> None:
    """In a process that was forked: it has none of the threads."""
    global _sharing
    _sharing = threading.Lock()
    _threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
