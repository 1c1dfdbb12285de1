"""Write the lists of a flat file's vectors after it: in one pass, by way of a file of their codes.

Memory holds a sample of the vectors while centroids are trained, and two numbers for each vector.
"""

import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from indexes.flat_file import FlatFile
from indexes.ivf.blocks import packed, padded
from indexes.ivf.effort import LEVELS, Effort
from indexes.ivf.layout import ListsFooter, lists_head
from indexes.ivf.search import ListSearch
from indexes.ivf.training import Lists
from indexes.ivf.tuning import Trial, measured
from indexes.spec import IndexSpec
from indexes.threads import MAX_SCANNERS, scanners

ENCODED_ROWS = 8_192  # at a time and thread


class Encoded(NamedTuple):
    """The lists and codes of some rows, and their scores for the trial's queries."""

    first: int
    labels: NDArray[np.int64]  # (N,)
    codes: NDArray[np.uint8]  # (N, code size)
    scores: NDArray[np.float32]  # (Q, N)


def write_lists(
    file: BinaryIO, flat: FlatFile, codes_file: BinaryIO, spec: IndexSpec
) -> ListsFooter:
    """Write what FAISS reads as an IndexIVFPQFastScan of rotated vectors.

    Returns the footer to be added.
    """
    lists, trial = Lists.trained(flat, spec.lists), Trial(flat, spec.suffix)
    labels = np.empty(len(flat.ids), np.int64)
    for encoded in encode(flat, lists, trial.queries):
        labels[encoded.first : encoded.first + len(encoded.labels)] = encoded.labels
        codes_file.write(encoded.codes.data)
        trial.show(encoded.first, encoded.scores)
    codes_file.flush()
    shape = len(labels), lists.rotated.index.code_size
    codes = np.memmap(codes_file, np.uint8, "r", shape=shape)
    members = members_of(labels, spec.lists)
    parts = ((packed(codes[rows]), flat.ids[rows]) for rows in members)
    sizes = np.array([len(rows) for rows in members])
    footer = write_parts(file, lists, parts, sizes)
    file.flush()
    search = ListSearch(file, flat, footer)
    return footer.tuned(measured(trial, flat, labels, search))


def encode(
    flat: FlatFile, lists: Lists, queries: NDArray[np.float32], first: int = 0
) -> Iterator[Encoded]:
    """Yield the rows from `first` on, in order, encoded by several threads, some ahead."""

    def encoded(row: int) -> Encoded:
        vectors = flat.codes[row : row + ENCODED_ROWS].astype(np.float32)
        rotated = lists.rotated(vectors)
        labels = lists.assign(rotated)
        codes = lists.encode(rotated, labels)
        return Encoded(row, labels, codes, queries @ vectors.T)

    rows, ahead = len(flat.ids), ENCODED_ROWS * 2 * MAX_SCANNERS
    for start in range(first, rows, ahead):
        yield from scanners().map(encoded, range(start, min(start + ahead, rows), ENCODED_ROWS))


def members_of(labels: NDArray[np.int64], lists: int) -> list[NDArray[np.int64]]:
    """Return the rows of each list, rising."""
    sizes = np.bincount(labels, minlength=lists)
    return np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])


def write_parts(
    file: BinaryIO,
    lists: Lists,
    parts: Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]],
    sizes: NDArray[np.int64],
) -> ListsFooter:
    """Write the blocks (n, block size) and ids (N,) of each list after a flat file."""
    flat_bytes = file.seek(0, os.SEEK_END)
    head = lists_head(lists.rotated, padded(sizes), int(sizes.sum()))
    file.write(head)
    crc = 0
    for blocks, ids in parts:
        longer = np.full(padded(len(ids)), -1, "<i8")
        longer[: len(ids)] = ids
        data = blocks.tobytes() + longer.tobytes()
        file.write(data)
        crc = zlib.crc32(data, crc)
    start, end = flat_bytes + len(head), file.seek(0, os.SEEK_END)
    everything = Effort((len(sizes),) * len(LEVELS), (int(sizes.sum()),) * len(LEVELS))
    return ListsFooter(flat_bytes, len(sizes), start, end, zlib.crc32(head), crc, everything)
