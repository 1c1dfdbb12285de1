"""Products with matrices of 8-bit integers, which are never converted as a whole.

A few rows at a time become floats in a small array that stays in the processor's cache: for the few
tokens of a query this is quicker than to read a matrix of floats, and memory holds no second copy.
"""

import numpy as np
from numpy.typing import NDArray

from clipmodel.numpy_backend.threads import FEW_ROWS, share
from clipmodel.numpy_backend.weights import Floats

FEW_PLACES = 32  # of a query; the more there are, the more rows are worth converting at a time
ROWS_FOR_FEW, ROWS_FOR_MANY = 48, 384


def integer_product(x: Floats, integers: NDArray[np.int8], scale: Floats) -> Floats:
    """Multiply x (R, I) by the transpose of integers (O, I), each row times its scale (O,)."""
    made = np.empty((len(x), len(integers)), np.float32)
    rows = ROWS_FOR_FEW if len(x) <= FEW_PLACES else ROWS_FOR_MANY

    def multiply(of: slice) -> None:
        floats = np.empty((min(rows, of.stop - of.start), integers.shape[1]), np.float32)
        for start in range(of.start, of.stop, rows):
            stop = min(start + rows, of.stop)
            part = floats[: stop - start]
            np.copyto(part, integers[start:stop])
            np.matmul(x, part.T, made[:, start:stop])

    share(multiply, len(integers), max(len(x), FEW_ROWS) * integers.size)
    made *= scale
    return made
