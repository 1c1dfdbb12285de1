"""Losses: distances of pictures from their captions, and of texts from the teacher's vectors."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def targets(captions: Sequence[str], likeness: Tensor, softness: float) -> Tensor:
    """Return (B, B), rows of sum 1: divided among equal captions, `softness` among similar ones.

    likeness: (B, B) the teacher's cosines. Softening keeps a small model from learning that two
    photos of a running dog are opposites (relational distillation).
    """
    place = {text: i for i, text in enumerate(dict.fromkeys(captions))}
    group = torch.tensor([place[text] for text in captions], device=likeness.device)
    same = (group[:, None] == group[None, :]).float()
    same = same / same.sum(dim=1, keepdim=True)
    return (1 - softness) * same + softness * F.softmax(likeness / 0.08, dim=1)


def contrast(pictures: Tensor, texts: Tensor, scale: Tensor, wanted: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of unit vectors (B, D) (Radford et al. 2021)."""
    logits = scale * pictures @ texts.T  # (B, B)
    forward = -(wanted * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    back = (
        -(wanted.T / wanted.sum(dim=0)[:, None] * F.log_softmax(logits.T, dim=1)).sum(dim=1).mean()
    )
    return (forward + back) / 2


def truth(pictures: Tensor, texts: Tensor, scale: Tensor, truths: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of pictures (B, D) against statements (T, D).

    truths: (B, T) bool, several true in each row. The loss of captions assumes that those of other
    pictures are false, though they may be true; here the truth is known, and every statement that
    is nearly true is present.
    """
    logits = scale * pictures @ texts.T  # (B, T)
    wanted = [truths, truths.T[truths.any(dim=0)]]
    sides = [logits, logits.T[truths.any(dim=0)]]
    losses = [
        -(true / true.sum(dim=1, keepdim=True) * F.log_softmax(side, dim=1)).sum(dim=1).mean()
        for true, side in zip(wanted, sides, strict=True)
    ]
    return (losses[0] + losses[1]) / 2


def imitation(texts: Tensor, taught: Tensor, temperature: float = 0.05) -> Tensor:
    """Return how far unit vectors (B, D) are from the teacher's, also compared with the others."""
    near = 1 - (texts * taught).sum(dim=1).mean()
    which = torch.arange(len(texts), device=texts.device)
    return near + 0.2 * F.cross_entropy(texts @ taught.T / temperature, which)
