"""What an index file holds, read without FAISS's help: to compare it with where it came from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexes.layout import array_in, opened, read_footer

BLOCK = 10_000  # vectors at a time, of a flat file


def contents(path: Path) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
    """Ids (n,) and vectors (n, D) as they lie in the file. Raises DamagedIndex."""
    with opened(path) as file:
        footer = read_footer(file)
        if footer.kind == "flat":
            ids = array_in(file, "<i8", footer.body_end + 8, (footer.count,))
            codes = array_in(file, "<f2", footer.body_start, (footer.count, footer.dim))
            for start in range(0, footer.count, BLOCK):
                yield np.array(ids[start : start + BLOCK]), codes[start : start + BLOCK]
        else:
            file.seek(footer.body_start - 8 * footer.lists)  # the sizes of the lists end the head
            for size in np.frombuffer(file.read(8 * footer.lists), "<i8").tolist():
                vectors = np.frombuffer(file.read(size * footer.dim * 2), "<f2")
                members = np.frombuffer(file.read(size * 8), "<i8")
                yield members, vectors.reshape(size, footer.dim)
