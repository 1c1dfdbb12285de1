"""The approximate kind of index: float16 codes in lists around centroids; a search reads some.

It is made from a flat file: a sample trains the centroids, each vector joins the list of the
nearest one, and queries like captions determine how many lists a search must read. Memory holds two
numbers for each vector.
"""

import os
import zlib
from typing import BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.layout import Footer, array_in, ivf_head, map_index
from indexes.recall import text_like
from indexes.spec import IndexSpec

RECALL_FLOOR = 0.99  # of the ten nearest that an exact search finds
RECALL_MARGIN = 0.003  # above the floor, for queries that were not tried
TUNING_QUERIES = 200
SAMPLE_PER_LIST = 50  # vectors that a centroid is trained on; FAISS warns below 39
KMEANS_ITERATIONS = 10
SEED = 20
ASSIGNED_BLOCK = 16_384  # vectors at a time


class FlatFile:
    """Ids (N,) and float16 codes (N, D) of a flat file, mapped."""

    def __init__(self, file: BinaryIO, footer: Footer) -> None:
        assert footer.kind == "flat"
        shape = (footer.count, footer.dim)
        self.file, self.footer = file, footer
        self.codes = array_in(file, "<f2", footer.body_start, shape)
        self.ids = array_in(file, "<i8", footer.body_end + 8, shape[:1])

    def sample(self, count: int) -> NDArray[np.float32]:
        """Return `count` vectors, or all if there are fewer, from anywhere in the file, float32."""
        chosen = np.random.default_rng(SEED).permutation(len(self.ids))[:count]
        return self.codes[np.sort(chosen)].astype(np.float32)


def write_ivf(file: BinaryIO, flat: FlatFile, spec: IndexSpec) -> Footer:
    """Write what FAISS reads as IndexIVFScalarQuantizer, and return the footer to be added."""
    assert spec.kind == "ivf" and len(flat.ids) >= spec.lists
    index = train(flat, spec.lists)
    labels = assign(flat, index.quantizer)
    sizes = np.bincount(labels, minlength=spec.lists)
    head = ivf_head(index, sizes)
    file.write(head)
    crc = 0
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(sizes)[:-1])
    for positions in members:  # rising, so that the ids of a list rise
        data = flat.codes[positions].tobytes() + flat.ids[positions].tobytes()
        file.write(data)
        crc = zlib.crc32(data, crc)
    probes = spec.probes or fewest_probes(flat, labels, index.quantizer, spec.suffix)
    about = (flat.footer.dim, spec.lists, probes, len(flat.ids), flat.footer.last_id)
    return Footer("ivf", *about, len(head), file.seek(0, os.SEEK_END), zlib.crc32(head), crc)


def train(flat: FlatFile, lists: int) -> faiss.IndexIVFScalarQuantizer:
    """Return an empty index whose centroids are trained on a sample of the vectors."""
    dim, metric = flat.footer.dim, faiss.METRIC_INNER_PRODUCT
    codes, by_residual = faiss.ScalarQuantizer.QT_fp16, False  # codes are the vectors themselves
    centroids = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFScalarQuantizer(centroids, dim, lists, codes, metric, by_residual)
    index.cp.niter, index.cp.seed = KMEANS_ITERATIONS, SEED
    index.cp.min_points_per_centroid = 1  # no warning on stdout about a small sample
    index.train(flat.sample(lists * SAMPLE_PER_LIST))
    return index


def assign(flat: FlatFile, centroids: faiss.Index) -> NDArray[np.int64]:
    """Return the list of each vector, (N,)."""
    labels = np.empty(len(flat.ids), np.int64)
    for start in range(0, len(labels), ASSIGNED_BLOCK):
        block = flat.codes[start : start + ASSIGNED_BLOCK].astype(np.float32)
        labels[start : start + ASSIGNED_BLOCK] = centroids.search(block, 1)[1][:, 0]
    return labels


def fewest_probes(
    flat: FlatFile,
    labels: NDArray[np.int64],
    centroids: faiss.Index,
    suffix: tuple[float, ...] = (),
) -> int:
    """Return how many lists a search must read to find what an exact search finds.

    A neighbour is found if its list is read, so it needs as many lists as the rank of its own among
    the query's. The result is a quantile of these numbers.
    """
    directions = flat.sample(10_000)[:, : flat.footer.dim - len(suffix)]
    queries = text_like(directions, TUNING_QUERIES, np.random.default_rng(SEED))
    queries = np.hstack([queries, np.tile(np.array(suffix, np.float32), (len(queries), 1))])
    neighbours = map_index(flat.file).search(queries, min(10, len(flat.ids)))[1]  # (Q, 10) ids
    homes = labels[np.searchsorted(flat.ids, neighbours)]  # the list of each
    read_first = centroids.search(queries, centroids.ntotal)[1]  # (Q, lists)
    ranks = np.argsort(read_first, axis=1)  # (Q, lists): when each list is read
    needed = 1 + np.take_along_axis(ranks, homes, axis=1)
    return int(np.quantile(needed, RECALL_FLOOR + RECALL_MARGIN, method="higher"))
