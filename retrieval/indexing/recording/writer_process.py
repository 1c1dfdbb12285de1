"""A process that writes commits, from inside: its own connection, and its own lock of Python's."""

import pickle
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.decoding import malloc
from retrieval.decoding.ring.messages import sendable, write
from retrieval.decoding.worker_process import claim_output
from retrieval.indexing.recorder import Commit, DirectWriter
from retrieval.locate import Place
from retrieval.records import FileState, NewImage, Shot, Vectors

SHOT_AT = NewImage._fields.index("shot")


class PackedVectors(NamedTuple):
    """`Vectors` in two arrays, each with the rows of all images in their order."""

    model_id: int
    digests: list[bytes]
    rows: list[int]  # of each image
    vectors: NDArray[np.float16]  # (N, D): as they are stored
    hubness: NDArray[np.float32] | None  # (N, 2)


Packed = tuple[list[Any], list[Any], PackedVectors | None]


def packed(commit: Commit) -> Packed:
    """Return a commit as plain values, which pickle takes and reads many times as quickly."""
    images: list[list[Any]] = [list(image) for image in commit.images]
    for values in images:
        if shot := values[SHOT_AT]:
            values[SHOT_AT] = (*shot,)
    return [tuple(file) for file in commit.files], images, _packed_vectors(commit.vectors)


def _packed_vectors(vectors: Vectors | None) -> PackedVectors | None:
    if vectors is None or not vectors.of:
        return None
    rows = [len(each) if each.ndim > 1 else 1 for each in vectors.of.values()]
    stacked = np.vstack([*vectors.of.values()]).astype("<f2")
    hubness = np.vstack([vectors.hubness[each] for each in vectors.of]) if vectors.hubness else None
    return PackedVectors(vectors.model_id, [*vectors.of], rows, stacked, hubness)


def unpacked(values: Packed) -> Commit:
    files, images, vectors = values
    for each in images:
        if shot := each[SHOT_AT]:
            each[SHOT_AT] = Shot._make(shot)
    return Commit(
        [*map(FileState._make, files)],
        [*map(NewImage._make, images)],
        _unpacked_vectors(vectors) if vectors else None,
    )


def _unpacked_vectors(held: PackedVectors) -> Vectors:
    ends = np.cumsum(held.rows)[:-1]
    vectors = held.vectors.astype(np.float32)  # exact, and back again when they are stored
    of = dict(zip(held.digests, np.split(vectors, ends), strict=True))
    if held.hubness is None:
        return Vectors(held.model_id, of)
    hubness = dict(zip(held.digests, np.split(held.hubness, ends), strict=True))
    return Vectors(held.model_id, of, hubness)


def serve(place: Place) -> None:
    """Write commits from standard input until it ends; answer each with None, or with the error.

    place: of the catalog. Who starts this process holds the library.
    """
    malloc.keep_for_a_run()
    commits, answers = sys.stdin.buffer, claim_output()
    writer: DirectWriter | None = None
    while True:
        try:
            values: Packed = pickle.load(commits)
        except (EOFError, pickle.UnpicklingError):  # the run ended
            return
        try:
            writer = writer or DirectWriter(Catalog.open(place))
            writer.write(unpacked(values))
            write(answers, None)
        except Exception as error:
            write(answers, sendable(error))
