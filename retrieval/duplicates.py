"""Copies and near copies among the pictures of a library: groups, the best of each first.

Files of the same bytes are one image with several paths. Near copies (resized, saved again, the
next of a burst) are images whose vectors are nearly the same. A group is what is near to its best,
not what is near to any of it: a chain of small steps does not end in a group of strangers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog import Catalog
from retrieval.records import Image, Match, ModelRecord

BLOCK = 2_048  # images compared at a time with as many others
SHORT = 64  # dimensions that rule out nearly all that is not near, in a seventh of the time
SAMPLE = 20_000  # vectors whose main directions those are
SLACK = 1e-3  # of rounding; what is not ruled out is compared in full
FEW = 1 / 128  # of the pairs of two blocks: more are compared sooner all at once
NEAR = 0.97  # cosine from which on pictures are nearly the same


@dataclass(frozen=True, slots=True)
class Group:
    """Copies of one picture, and pictures nearly like it. Scores are cosines to the one to keep."""

    kept: Match
    others: tuple[Match, ...]  # copies of the same bytes first, then by falling score

    def is_exact(self, other: Match) -> bool:
        """Whether it has the very bytes of the one that is kept."""
        return other.image.id == self.kept.image.id


def groups(
    catalog: Catalog, model: ModelRecord, threshold: float, allowed: NDArray[np.int64] | None = None
) -> Iterator[Group]:
    """The groups of two files or more among the images `allowed` (sorted ids), or all.

    In the order of the paths of those to keep. Every image is compared with every other: 15 s for
    100,000 of 512 dimensions on two cores, and a hundred times as long for a million.
    """
    ids, vectors = _vectors(catalog, model, allowed)
    held = catalog.images(ids.tolist())
    images = {id: image for id, image in held.items() if image.paths}
    known = np.array([id in images for id in ids.tolist()], bool)
    ids, vectors = ids[known], vectors[known]
    order = np.array(sorted(range(len(ids)), key=lambda row: _worth(images[int(ids[row])])), int)
    found = [
        _group([(images[int(ids[row])], score) for row, score in rows])
        for rows in _stars(vectors[order], threshold, order)
    ]
    yield from sorted((group for group in found if group.others), key=lambda g: g.kept.path)


def _vectors(
    catalog: Catalog, model: ModelRecord, allowed: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    ids, vectors = [np.empty(0, np.int64)], [np.empty((0, model.dim), np.float16)]
    for some, held in catalog.vectors(model.id):
        chosen = np.ones(len(some), bool) if allowed is None else np.isin(some, allowed)
        ids.append(some[chosen])
        vectors.append(held[chosen])
    return np.concatenate(ids), np.concatenate(vectors)


def _worth(image: Image) -> tuple[int, object, str]:
    """What is worth keeping first: more pixels, then the older, then the shorter path."""
    return -image.width * image.height, image.date, str(min(image.paths, default=""))


def _stars(
    vectors: NDArray[np.float16], threshold: float, names: NDArray[np.int64]
) -> Iterator[list[tuple[int, float]]]:
    """(N, D), the most worthy first: each that is in no group yet, with those near to it that are
    in none either; by their names, with their cosines.
    """
    free = np.ones(len(vectors), bool)
    short = _shortened(vectors)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK].astype(np.float32)
        near = []
        for other in range(start, len(vectors), BLOCK):
            facing = vectors[other : other + BLOCK]
            most = short[start : start + BLOCK] @ short[other : other + BLOCK].T  # (B, b)
            rows, columns, cosines = _near(block, facing, most, threshold)
            near.append((rows, columns + other, cosines))
        rows, columns, scores = (np.concatenate(parts) for parts in zip(*near, strict=True))
        order = np.argsort(rows, kind="stable")
        bounds = np.searchsorted(rows[order], np.arange(len(block) + 1))
        for row in range(len(block)):
            if not free[start + row]:
                continue
            free[start + row] = False
            mine = order[bounds[row] : bounds[row + 1]]
            mine = mine[free[columns[mine]]]
            free[columns[mine]] = False
            others = zip(names[columns[mine]].tolist(), scores[mine].tolist(), strict=True)
            yield [(int(names[start + row]), 1.0), *others]


def _shortened(vectors: NDArray[np.float16]) -> NDArray[np.float32]:
    """(N, D) -> (N, SHORT + 1), of which inner products are no less than those of the vectors: by
    Cauchy and Schwarz what is left out adds no more than the product of its lengths.
    """
    sample = vectors[:: len(vectors) // SAMPLE + 1].astype(np.float32)
    main = np.linalg.eigh(sample.T @ sample)[1][:, -SHORT:]  # (D, SHORT)
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
    """Rows of `block` and `others` that are near, and their cosines, of which `most` are bounds."""
    rows, columns = np.nonzero(most >= threshold - SLACK)
    if len(rows) > FEW * most.size:
        whole = block @ others.astype(np.float32).T  # (B, D) @ (D, b) -> (B, b)
        rows, columns = np.nonzero(whole >= threshold)
        cosines = whole[rows, columns]
    else:
        cosines = np.einsum("pd,pd->p", block[rows], others[columns].astype(np.float32))
        is_near = cosines >= threshold
        rows, columns, cosines = rows[is_near], columns[is_near], cosines[is_near]
    return rows, columns, np.minimum(cosines, 1.0)


def _group(members: Sequence[tuple[Image, float]]) -> Group:
    (best, _), *near = members
    copies = [Match(path, 1.0, best) for path in best.paths]
    near.sort(key=lambda member: (-member[1], member[0].id))
    others = [Match(path, score, image) for image, score in near for path in image.paths]
    return Group(copies[0], (*copies[1:], *others))


def paths_to_spare(found: Sequence[Group]) -> list[Path]:
    """All but the one to keep of each group."""
    return [match.path for group in found for match in group.others]
