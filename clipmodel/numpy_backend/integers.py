"""Products with matrices of 8-bit integers, which are never converted to floats as a whole.

A few rows at a time become floats, in a small array that stays in the processor's cache. For the
few tokens of a query this is faster than reading a matrix of floats, and needs no second copy in
memory.
"""

import numpy as np
from numpy.typing import NDArray

from clipmodel.numpy_backend.threads import FEW_ROWS, share
from clipmodel.numpy_backend.weights import Floats

FEW_PLACES = 32  # of a query; with more tokens, converting more rows at a time is worthwhile
ROWS_FOR_FEW, ROWS_FOR_MANY = 48, 384


def integer_product(x: Floats, integers: NDArray[np.int8], scale: Floats) -> Floats:
    """Multiply x (R, I) by the transpose of integers (O, I), whose rows have scales (O, G)."""
    made = np.empty((len(x), len(integers)), np.float32)
    rows = ROWS_FOR_FEW if len(x) <= FEW_PLACES else ROWS_FOR_MANY

    def multiply(of: slice) -> None:
        floats = np.empty((min(rows, of.stop - of.start), integers.shape[1]), np.float32)
        for start in range(of.start, of.stop, rows):
            stop = min(start + rows, of.stop)
            part = floats[: stop - start]
            np.copyto(part, integers[start:stop])
            of_scales = part.reshape(stop - start, scale.shape[1], -1)
            of_scales *= scale[start:stop, :, None]
            np.matmul(x, part.T, made[:, start:stop])

    share(multiply, len(integers), max(len(x), FEW_ROWS) * integers.size)
    return made
