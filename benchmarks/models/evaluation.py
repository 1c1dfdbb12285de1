"""Recall as `retrieve eval` measures it, beside clip_benchmark's, on the same vectors.

The vectors are a formula's, equal on every machine, and OpenAI's of 100 photos and 500 captions if
the reference data is there. The test of these figures (tests/retrieval/evaluation) has what
clip_benchmark said.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import peers
from benchmarks.harness.report import Cell, Row
from benchmarks.relevance import DATA, vit
from retrieval.evaluation.measures import CUTS, measured
from retrieval.evaluation.ranks import Page, ranked

Floats = NDArray[np.float32]

PICTURES, CAPTIONS, DIM = 60, 5, 24  # of the formula; captions of each picture


class Vectors(NamedTuple):
    """Pictures (N, D) and captions (Q, D), unit L2 norm, and the picture of each caption (Q,)."""

    pictures: Floats
    captions: Floats
    own: NDArray[np.int64]


def run(folder: Path, quick: bool) -> Iterator[Row]:
    sets = {"formula": by_formula()}
    if DATA.exists():
        sets["ViT-B/32, 100 photos"] = Vectors(*vit())
    for name, vectors in sets.items():
        yield {"vectors": name, "who": "retrieve", **ours(vectors)}
        if peers.has("clip_benchmark", "torch", "tqdm"):
            yield {"vectors": name, "who": "clip_benchmark", **theirs(folder, vectors)}


def by_formula() -> Vectors:
    """Return vectors that need no random numbers, with captions halfway off their pictures."""
    rows, columns = np.arange(PICTURES)[:, np.newaxis], np.arange(DIM)
    pictures = np.sin(1.7 * rows * (columns + 1) + columns**2)
    own = np.repeat(np.arange(PICTURES), CAPTIONS)
    texts = np.arange(len(own))[:, np.newaxis]
    captions = pictures[own] + 2 * np.sin(2.3 * texts * (columns + 2) + 0.5 * columns**2)
    return Vectors(_unit(pictures), _unit(captions), own)


def ours(vectors: Vectors) -> dict[str, Cell]:
    """Return the recall of captions that search pictures (R@k), and of the reverse (back R@k)."""
    pictures, captions, own = vectors
    forth = _recall(captions, [np.array([each]) for each in own], pictures)
    right = [np.flatnonzero(own == picture) for picture in range(len(pictures))]
    return named(forth, _recall(pictures, right, captions))


def _recall(
    queries: Floats, right: list[NDArray[np.int64]], candidates: Floats
) -> dict[int, float]:
    numbers = np.arange(len(candidates))
    page = Page(numbers, candidates, np.zeros(len(candidates), np.float32))
    found = ranked(queries, right, lambda: iter([page]))
    measures = measured(found.ranks, np.arange(len(queries)))
    return {k: measures.recall[k].value for k in CUTS}


def theirs(folder: Path, vectors: Vectors) -> dict[str, Cell]:
    """Return the figures of clip_benchmark's zero-shot retrieval, whose model looks them up."""
    file = folder / "vectors.npz"
    np.savez(file, allow_pickle=False, **vectors._asdict())
    said = peers.script("clip_benchmark_recall.py", file, *CUTS).output.split()
    values = [float(each) for each in said[-2 * len(CUTS) :]]
    one, other = values[: len(CUTS)], values[len(CUTS) :]
    return named(dict(zip(CUTS, one, strict=True)), dict(zip(CUTS, other, strict=True)))


def named(forth: dict[int, float], back: dict[int, float]) -> dict[str, Cell]:
    both = [(f"R@{k}", forth[k]) for k in CUTS] + [(f"back R@{k}", back[k]) for k in CUTS]
    return dict(both)


def _unit(vectors: NDArray[np.float64]) -> Floats:
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
