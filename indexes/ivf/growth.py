"""Write the lists of an ivf file again with more vectors, with the same centroids and codebook."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import FlatFile
from indexes.ivf.blocks import BLOCK, packed, unpacked
from indexes.ivf.layout import ListsFooter, sizes_in
from indexes.ivf.search import map_lists
from indexes.ivf.training import Lists
from indexes.ivf.writing import encode, members_of, write_parts


def write_grown_lists(
    file: BinaryIO, flat: FlatFile, old: BinaryIO, footer: ListsFooter, kept: int
) -> ListsFooter:
    """Write the lists of `flat`, whose first `kept` rows are those of the file `old`.

    Returns the footer to be added.
    """
    lists = Lists.of(map_lists(old, footer))
    code_size = lists.rotated.index.code_size
    no_queries = np.empty((0, flat.footer.dim), np.float32)
    labels, codes = np.empty(0, np.int64), np.empty((0, code_size), np.uint8)
    new = list(encode(flat, lists, no_queries, first=kept))
    labels = np.concatenate([labels, *(each.labels for each in new)])
    codes = np.concatenate([codes, *(each.codes for each in new)])
    added = members_of(labels, footer.lists)
    whole = (
        (joined(blocks, len(ids), codes[rows]), np.concatenate([ids, flat.ids[kept + rows]]))
        for (blocks, ids), rows in zip(parts_of(old, footer, code_size), added, strict=True)
    )
    sizes = held_sizes(old, footer, code_size) + np.array([len(rows) for rows in added])
    grown = write_parts(file, lists, whole, sizes)
    return grown.tuned(footer.effort.grown(len(flat.ids) / max(kept, 1)))


def joined(blocks: NDArray[np.uint8], count: int, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return blocks of `count` codes and more (N, code size): those that are full as they are."""
    full = count // BLOCK
    rest = unpacked(blocks[full:], count - full * BLOCK)
    return np.concatenate([blocks[:full], packed(np.concatenate([rest, codes]))])


def parts_of(
    file: BinaryIO, footer: ListsFooter, code_size: int
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """Yield the blocks (n, block size) and ids (N,) of each list."""
    sizes = sizes_in(file, footer).tolist()
    file.seek(footer.body_start)
    for size in sizes:
        blocks = np.frombuffer(file.read(size * code_size), np.uint8)
        ids = np.frombuffer(file.read(size * 8), "<i8")
        yield blocks.reshape(-1, BLOCK * code_size), ids[ids >= 0]


def held_sizes(file: BinaryIO, footer: ListsFooter, code_size: int) -> NDArray[np.int64]:
    """Return the number of ids in each list, (lists,): pads are at most a block at its end."""
    sizes, place = sizes_in(file, footer), footer.body_start
    for number, size in enumerate(sizes.tolist()):
        place += size * (code_size + 8)
        last = min(size, BLOCK)
        file.seek(place - 8 * last)
        sizes[number] -= np.count_nonzero(np.frombuffer(file.read(8 * last), "<i8") < 0)
    return sizes
