"""Words first: the text tower learns the teacher's vectors before any picture is shown."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from clipmodel.model import CLIP
from clipmodel.training.batches import tokens
from clipmodel.training.loop import mixed_precision
from clipmodel.training.losses import imitation

MAX_TEXT_TOKENS = 40  # that are read; the longest captions have a few more


def principal_axes(taught: NDArray[np.float16], dim: int) -> Tensor:
    """Return the axes (384, dim) along which the teacher's vectors vary most: the first head."""
    vectors = taught.astype(np.float32)
    _, axes = np.linalg.eigh(vectors.T @ vectors)  # ascending
    return torch.from_numpy(np.ascontiguousarray(axes[:, ::-1][:, :dim]))


class Lessons:
    """Texts with the teacher's vectors; a batch depends on its step alone."""

    def __init__(self, texts: Sequence[str], taught: NDArray[np.float16], seed: int) -> None:
        ids = tokens(texts, longest=MAX_TEXT_TOKENS).numpy().astype(np.int32)  # (N, L)
        self.lengths = (ids != 0).sum(axis=1)
        by_length = np.argsort(self.lengths, kind="stable")
        self.ids, self.lengths, self.taught = (
            ids[by_length],
            self.lengths[by_length],
            taught[by_length],
        )
        self.seed = seed

    def batch(self, step: int, size: int) -> tuple[Tensor, Tensor]:
        """Return tokens (B, L) int64 and taught (B, 384) float32, with little padding."""
        rng = np.random.default_rng([self.seed, step])
        window = min(len(self.ids), 8 * size)
        rows = rng.integers(0, len(self.ids) - window + 1) + rng.integers(0, window, size)
        ids = self.ids[rows, : self.lengths[rows].max()]
        return torch.from_numpy(ids).long(), torch.from_numpy(self.taught[rows]).float()


def imitations(
    model: CLIP, head: Tensor, lessons: Lessons, size: int, device: str
) -> Callable[[range], Iterator[Tensor]]:
    """Return the losses of steps: texts against the teacher's vectors, mapped by head."""

    def losses(steps: range) -> Iterator[Tensor]:
        for step in steps:
            ids, taught = lessons.batch(step, size)
            with mixed_precision(device):
                ours = F.normalize(model.encode_text(ids.to(device)), dim=1).float()
            yield imitation(ours, F.normalize(taught.to(device) @ head, dim=1))

    return losses
