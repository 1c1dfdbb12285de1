"""FAISS's selectors: which ids a search may find."""

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.layout import OWNER


def among(ids: NDArray[np.int64]) -> faiss.IDSelector:
    """Return a selector of rising ids; a bit for each is twice as fast as IDSelectorBatch."""
    first, further = np.split(ids, [np.searchsorted(ids, OWNER, "right")])
    if not len(further):
        return _among_first(first)
    return faiss.IDSelectorOr(_among_first(first), faiss.IDSelectorBatch(further))


def _among_first(ids: NDArray[np.int64]) -> faiss.IDSelectorBitmap:
    return faiss.IDSelectorBitmap(bitmap(ids))  # type: ignore[call-arg,arg-type]


def bitmap(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return one bit for each id up to the last of these, which rise, set for those in `ids`."""
    bits = np.zeros(int(ids[-1]) + 1 if len(ids) else 1, np.bool_)
    bits[ids] = True
    return np.packbits(bits, bitorder="little")
