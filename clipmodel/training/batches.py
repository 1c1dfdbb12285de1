"""Batches of pictures with captions, which depend on their step alone.

A resumed run therefore sees the batches of an uninterrupted one.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clipmodel.tokenizer import token_ids
from clipmodel.training.augment import Augmentation, crop
from clipmodel.training.data import Collection

MAX_CAPTION_TOKENS = 28  # that are read: 2% of the captions are longer


@dataclass(frozen=True)
class Source:
    """A collection, its augmentation, and its number of pictures in each batch."""

    collection: Collection
    augmentation: Augmentation
    share: int


@dataclass(frozen=True)
class Batch:
    """B pictures, source after source, each with one of its captions."""

    pixels: Tensor  # (B, 3, S, S) uint8
    colour: Tensor  # (B,) strength of the colour changes
    captions: list[str]
    tokens: Tensor  # (B, L) int64
    taught: Tensor  # (P, 384) the teacher's vectors of the captions of the first P, the photos
    truths: Tensor  # (B - P, T) bool: which statements are true of the others, the scenes


class Sampler:
    """A sampler that draws every picture of a source once before any is drawn again.

    photos: sources whose captions the teacher knows. scenes: painted ones, whose captions are
    learnt from the pictures alone, as the teacher is vague about colours and numbers; false
    statements about them are known as well.
    """

    def __init__(
        self,
        photos: Sequence[Source],
        scenes: Sequence[Source],
        taught: Mapping[str, NDArray[np.float16]],
        seed: int,
    ) -> None:
        self.sources = (*photos, *scenes)
        self.photos = sum(source.share for source in photos)
        self.taught = taught
        self.seed = seed

    def batch(self, step: int, size: int) -> Batch:
        """Return the batch of a step, with pictures of `size` pixels a side."""
        rng = random.Random(f"{self.seed}/{step}")
        pixels: list[NDArray[np.uint8]] = []
        captions: list[str] = []
        colour: list[float] = []
        truths: list[NDArray[np.bool_]] = []
        for source in self.sources:
            for row in self._rows(source, step):
                pixels.append(crop(source.collection.pictures[row], size, source.augmentation, rng))
                captions.append(rng.choice(source.collection.captions[row]))
                colour.append(source.augmentation.colour)
                if source.collection.truths is not None:
                    truths.append(source.collection.truths[row])
        taught = np.stack([self.taught[text] for text in captions[: self.photos]])
        return Batch(
            pixels=torch.from_numpy(np.stack(pixels)).permute(
                0, 3, 1, 2
            ),  # (B, S, S, 3) -> (B, 3, S, S)
            colour=torch.tensor(colour),
            captions=captions,
            tokens=tokens(captions, longest=MAX_CAPTION_TOKENS),
            taught=torch.from_numpy(taught).float(),
            truths=torch.from_numpy(np.array(truths, bool)),
        )

    def batches(self, steps: range, size: int) -> Iterator[tuple[int, Batch]]:
        """Yield the batches of `steps`, preparing the next one while the last one is in use."""
        with ThreadPoolExecutor(max_workers=1) as maker:
            coming = maker.submit(self.batch, steps.start, size)
            for step in steps:
                batch = coming.result()
                coming = maker.submit(self.batch, step + 1, size)
                yield step, batch

    def _rows(self, source: Source, step: int) -> list[int]:
        count = len(source.collection)
        places = range(step * source.share, (step + 1) * source.share)
        orders = {
            epoch: self._order(source, epoch) for epoch in {place // count for place in places}
        }
        return [int(orders[place // count][place % count]) for place in places]

    def _order(self, source: Source, epoch: int) -> NDArray[np.int64]:
        name = source.collection.name.encode()
        return np.random.default_rng([self.seed, epoch, *name]).permutation(len(source.collection))


def tokens(texts: Sequence[str], longest: int = 77) -> Tensor:
    """Return token ids (B, L), cut after the longest text: a causal tower ignores the rest."""
    ids = token_ids(texts, context_length=longest, truncate=True)
    return torch.from_numpy(ids[:, : int((ids != 0).sum(axis=1).max())])
