"""The contents of an index file, read without FAISS, for comparison with their source."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.layout import array_in, opened, read_footer

FLAT_BLOCK = 10_000  # vectors at a time


def contents(path: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Yield ids (n,) and vectors (n, D) in the order of the file. Raises DamagedIndex."""
    with opened(path) as file:
        footer = read_footer(file)
        if footer.kind == "flat":
            ids = array_in(file, "<i8", footer.body_end + 8, (footer.count,))
            codes = array_in(file, "<f2", footer.body_start, (footer.count, footer.dim))
            for start in range(0, footer.count, FLAT_BLOCK):
                yield np.array(ids[start : start + FLAT_BLOCK]), codes[start : start + FLAT_BLOCK]
        else:
            file.seek(footer.body_start - 8 * footer.lists)  # the sizes of the lists end the head
            for size in np.frombuffer(file.read(8 * footer.lists), "<i8").tolist():
                vectors = np.frombuffer(file.read(size * footer.dim * 2), "<f2")
                members = np.frombuffer(file.read(size * 8), "<i8")
                yield members, vectors.reshape(size, footer.dim)
