"""Grouping of near pictures into stars: a picture in no group yet, with the free ones near to it.

Every member is near to the best one of its group, not just to some member, so a chain of small
differences does not put unrelated pictures together. Every picture is compared with every other.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.collection.nearness import MAX_BITS_ALIKE, Hashes, Nearness, Twins, distances

BLOCK = 2_048  # images that are compared at a time with as many others
SHORT_DIM = 64  # dimensions that rule out nearly all other pairs, in a seventh of the time
SAMPLE = 20_000  # vectors whose principal directions these are
SLACK = 1e-3  # for rounding; pairs that are not ruled out are compared in full
MAX_SPARSE = 1 / 128  # of the pairs of two blocks; with more, comparing all at once is faster


class Near(NamedTuple):
    """Pairs of rows."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    cosines: NDArray[np.float32]


Star = list[tuple[int, float]]  # a row, and those near to it, with their cosines


def stars(vectors: NDArray[np.float16], hashes: Hashes, nearness: Nearness) -> Iterator[Star]:
    """Yield stars of vectors (N, D) with hashes (N,), sorted by worth: each row in no star yet,
    with the free rows near to it.
    """
    free = np.ones(len(vectors), bool)
    short, twins = _shortened(vectors), Twins(hashes)
    for start in range(0, len(vectors), BLOCK):
        stop = min(start + BLOCK, len(vectors))
        parts = [
            _agreeing(_facing(vectors, short, start, other, nearness.least), hashes, nearness)
            for other in range(start, len(vectors), BLOCK)
        ]
        rows, columns, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], np.arange(start, stop + 1))
        for row in range(start, stop):
            if free[row]:
                free[row] = False
                mine = order[bounds[row - start] : bounds[row - start + 1]]
                near = columns[mine], scores[mine]
                star = [(row, 1.0)]
                for others, cosines in (near, _alike(vectors, row, twins.of(row), free, nearness)):
                    left = free[others]
                    free[others[left]] = False
                    star += zip(others[left].tolist(), cosines[left].tolist(), strict=True)
                yield star


def _facing(
    vectors: NDArray[np.float16],
    short: NDArray[np.float32],
    start: int,
    other: int,
    least: float,
) -> Near:
    """Return the pairs of two blocks with at least this cosine."""
    block = vectors[start : start + BLOCK].astype(np.float32)
    facing = vectors[other : other + BLOCK]
    most = short[start : start + BLOCK] @ short[other : other + BLOCK].T  # (B, b)
    rows, columns, cosines = _near(block, facing, most, least)
    return Near(rows + start, columns + other, cosines)


def _agreeing(near: Near, hashes: Hashes, nearness: Nearness) -> Near:
    """Drop pairs whose cosine alone does not suffice and whose hashes are not similar."""
    doubtful = np.flatnonzero(near.cosines < nearness.alone)
    ones, others = hashes[near.rows[doubtful]], hashes[near.columns[doubtful]]
    kept = np.ones(len(near.rows), bool)
    kept[doubtful[distances(ones, others) > MAX_BITS_ALIKE]] = False
    return Near(near.rows[kept], near.columns[kept], near.cosines[kept])


def _alike(
    vectors: NDArray[np.float16],
    row: int,
    twins: NDArray[np.int64],
    free: NDArray[np.bool_],
    nearness: Nearness,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the free twins of a row that are near enough to it, with their cosines."""
    twins = twins[free[twins]]
    cosines = vectors[twins].astype(np.float32) @ vectors[row].astype(np.float32)  # (n,)
    near = cosines >= nearness.floor
    return twins[near], np.minimum(cosines[near], 1.0)


def _shortened(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Shorten (N, D) to (N, SHORT_DIM + 1) such that inner products only grow.

    By Cauchy and Schwarz, the part left out contributes at most the product of its lengths.
    """
    sample = vectors[:: len(vectors) // SAMPLE + 1].astype(np.float32)
    main = np.linalg.eigh(sample.T @ sample)[1][:, -SHORT_DIM:]  # (D, SHORT_DIM)
    short = np.empty((len(vectors), main.shape[1] + 1), np.float32)
    for start in range(0, len(vectors), BLOCK):
        whole = vectors[start : start + BLOCK].astype(np.float32)
        kept = short[start : start + BLOCK]
        kept[:, :-1] = whole @ main
        left = (whole**2).sum(axis=1) - (kept[:, :-1] ** 2).sum(axis=1)
        kept[:, -1] = np.sqrt(np.maximum(left, 0))
    return short


def _near(
    block: NDArray[np.float32],
    others: NDArray[np.float16],
    most: NDArray[np.float32],
    threshold: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return near rows of `block` and `others` with cosines, of which `most` are upper bounds."""
    rows, columns = np.nonzero(most >= threshold - SLACK)
    if len(rows) > MAX_SPARSE * most.size:
        whole = block @ others.astype(np.float32).T  # (B, D) @ (D, b) -> (B, b)
        rows, columns = np.nonzero(whole >= threshold)
        cosines = whole[rows, columns]
    else:
        cosines = np.einsum("pd,pd->p", block[rows], others[columns].astype(np.float32))
        is_near = cosines >= threshold
        rows, columns, cosines = rows[is_near], columns[is_near], cosines[is_near]
    return rows, columns, np.minimum(cosines, 1.0)
