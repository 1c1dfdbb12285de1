"""Batches of pictures with captions, which depend on their step alone.

A resumed run therefore sees the batches of an uninterrupted one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """N pictures in V views, with their captions, and how many of them are in each batch."""

    name: str
    features: NDArray[np.float16]  # (V, N, F)
    captions: Sequence[Sequence[int]]  # of each picture: rows of the teacher's vectors
    pictures: int
    truths: NDArray[np.bool_] | None = None  # (N, T): which statements are true of each


@dataclass(frozen=True)
class Batch:
    """B pictures, source after source, each in one of its views and with one of its captions."""

    features: Tensor  # (B, F) float32
    captions: Tensor  # (B,) rows of the teacher's vectors
    is_painted: Tensor  # (B,) bool: which pictures are painted; their truths are known
    truths: Tensor  # (P, T) bool, of the painted ones


@dataclass(frozen=True)
class Sampler:
    """A sampler that draws every picture of a source once before any is drawn again."""

    sources: Sequence[Source]
    seed: int

    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        features, captions, truths = list[NDArray[np.float16]](), list[int](), list[Tensor]()
        is_painted = list[bool]()
        for source in self.sources:
            rng = np.random.default_rng([self.seed, step, *source.name.encode()])
            rows = self._rows(source, step)
            if source.truths is not None:
                truths.append(torch.from_numpy(source.truths[rows]))
            is_painted += [source.truths is not None] * len(rows)
            features.append(
                source.features[rng.integers(len(source.features), size=len(rows)), rows]
            )
            captions += [int(rng.choice(source.captions[row])) for row in rows]
        return Batch(
            torch.from_numpy(np.concatenate(features)).float(),
            torch.tensor(captions),
            torch.tensor(is_painted),
            torch.cat(truths) if truths else torch.empty(0, 0, dtype=torch.bool),
        )

    def _rows(self, source: Source, step: int) -> NDArray[np.int64]:
        count = len(source.captions)
        places = np.arange(step * source.pictures, (step + 1) * source.pictures)
        orders = {epoch: self._order(source, epoch) for epoch in {*(places // count).tolist()}}
        return np.array([orders[place // count][place % count] for place in places.tolist()])

    def _order(self, source: Source, epoch: int) -> NDArray[np.int64]:
        rng = np.random.default_rng([self.seed, epoch, *source.name.encode()])
        return rng.permutation(len(source.captions))
