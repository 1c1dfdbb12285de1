"""How NumPy's products share the cores."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from threadpoolctl import LibController, ThreadpoolController

from clipmodel.numpy_weights import Floats

FEW = 32  # rows of a product; a query in words has some ten
MOST = min(os.cpu_count() or 1, 4)  # threads for a product of few rows: they wait for memory
PART = 1 << 18  # elements of a matrix that are worth a thread, 40 us of work

_sharing = threading.Lock()


def fit_threads(rows: int) -> None:
    """No threads of BLAS for products of few rows, which `product` shares out instead: they spin
    while they wait for each other, and where another program keeps a processor busy, such as an
    index run, that takes a hundred times as long.
    """
    for library, most in _libraries():
        library.set_num_threads(1 if rows <= FEW else most)


def product(x: Floats, matrix: Floats) -> Floats:
    """x (R, I) @ matrix (I, O), after `fit_threads(R)`. Many threads at once have a core each."""
    parts = min(MOST, matrix.size // PART)
    if len(x) > FEW or parts < 2 or not _sharing.acquire(blocking=False):
        return x @ matrix
    try:
        width = matrix.shape[1]
        made = np.empty((len(x), width), np.float32)
        ends = [width * part // parts for part in range(parts + 1)]
        ours, *theirs = map(slice, ends, ends[1:])
        waiting = [_threads().submit(np.matmul, x, matrix[:, of], made[:, of]) for of in theirs]
        np.matmul(x, matrix[:, ours], made[:, ours])
        for part in waiting:
            part.result()
        return made
    finally:
        _sharing.release()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST - 1, "product")


@cache
def _libraries() -> list[tuple[LibController, int]]:
    """NumPy's, with the threads that they would take; FAISS has one of its own."""
    held = ThreadpoolController().select(user_api="blas").lib_controllers
    return [(each, each.num_threads) for each in held if "faiss" not in each.filepath]
