"""What all forms of an export have in common: unit vectors, and dates in one form."""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray


def unit(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return (n, D) of unit length to the precision of float32; as stored it is off by 2e-4."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    return exact.astype("<f4")


def iso(taken: datetime | None) -> tuple[str | None, str | None]:
    """Return the local time in one form for all, and the UTC offset separately.

    pandas and DuckDB read a column as text if only some of its times have an offset.
    """
    if taken is None:
        return None, None
    whole = taken.isoformat(timespec="seconds")  # 2023-06-01T12:30:00+02:00
    return whole[:19], whole[19:] or None
