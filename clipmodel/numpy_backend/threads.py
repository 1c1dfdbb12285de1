"""Matrix products on all cores, in threads of our own.

BLAS's threads spin while they wait for each other, which takes a hundred times as long when another
program, such as an index run, keeps a core busy. Ours sleep.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
from threadpoolctl import ThreadpoolController

from clipmodel.numpy_backend.weights import Floats
from clipmodel.pools import Threads, TryLock

MIN_THREAD_WORK = 1 << 21  # multiplications of a thread, which take 40 µs
FEW_ROWS = 8  # a product of fewer takes as long, as it waits for the matrix

_sharing = TryLock()


def shared_product(x: Floats, matrix: Floats) -> Floats:
    """Multiply x (R, I) by matrix (I, O)."""
    made = np.empty((len(x), matrix.shape[1]), np.float32)
    is_tall = len(x) > matrix.shape[1]

    def multiply(of: slice) -> None:
        if is_tall:
            np.matmul(x[of], matrix, made[of])
        else:
            np.matmul(x, matrix[:, of], made[:, of])

    share(multiply, max(made.shape), max(len(x), FEW_ROWS) * matrix.size)
    return made


def share(compute: Callable[[slice], None], length: int, work: int) -> None:
    """Compute all of 0 to `length`, in parts if the work is worth threads, in multiplications.

    Of many calls at once, one is helped by the threads.
    """
    parts = min(threads_of_blas(), length, work // MIN_THREAD_WORK)
    if parts < 2:
        return compute(slice(0, length))
    with _sharing.tried() as is_alone:
        if is_alone:
            _share(compute, length, parts)
        else:
            compute(slice(0, length))


@cache
def threads_of_blas() -> int:
    """Return how many threads NumPy's BLAS would use, and limit it to one.

    The limit holds for the whole process: a thread cannot have a setting of its own.
    """
    held = ThreadpoolController().select(user_api="blas").lib_controllers
    numpys = [each for each in held if "faiss" not in Path(each.filepath).parent.name]  # its own
    most = max((each.num_threads for each in numpys), default=1)
    for each in numpys:
        each.set_num_threads(1)
    return most


def _share(compute: Callable[[slice], None], length: int, parts: int) -> None:
    ends = [length * part // parts for part in range(parts + 1)]
    *theirs, ours = map(slice, ends, ends[1:])
    waiting = []
    with suppress(RuntimeError):  # no thread can be started, or Python is about to end
        for of in theirs:
            waiting.append(_threads().submit(compute, of))  # noqa: PERF401  # a part may start
    for of in [*theirs[len(waiting) :], ours]:
        compute(of)
    for part in waiting:
        part.result()


@cache
def _threads() -> Threads:
    return Threads(threads_of_blas() - 1, "product")
