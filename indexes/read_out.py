"""The contents of an index file, for comparison with their source."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import FlatFile
from indexes.ivf.layout import read_footers
from indexes.layout import opened

BLOCK = 10_000  # vectors at a time


def contents(path: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Yield ids (n,) and vectors (n, D) in the order of the file. Raises DamagedIndex."""
    with opened(path) as file:
        flat = FlatFile(file, read_footers(file)[0])
        for start in range(0, len(flat.ids), BLOCK):
            yield np.array(flat.ids[start : start + BLOCK]), flat.codes[start : start + BLOCK]
