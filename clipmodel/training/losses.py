"""Losses: distances of pictures from their captions, from statements, and from classes."""

import torch.nn.functional as F
from torch import Tensor


def targets(captions: Tensor, likeness: Tensor, softness: float) -> Tensor:
    """Return (B, B), rows of sum 1: divided among equal captions, `softness` among similar ones.

    captions: (B,) a number for each text. likeness: (B, B) the teacher's cosines. Softening keeps a
    small model from learning that two photos of a running dog are opposites (relational
    distillation).
    """
    same = (captions[:, None] == captions[None, :]).float()
    same = same / same.sum(dim=1, keepdim=True)
    return (1 - softness) * same + softness * F.softmax(likeness / 0.08, dim=1)


def contrast(pictures: Tensor, texts: Tensor, scale: float, wanted: Tensor) -> Tensor:
    """Return the symmetric cross-entropy of unit vectors (B, D) (Radford et al. 2021)."""
    logits = scale * pictures @ texts.T  # (B, B)
    forward = -(wanted * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    back = (
        -(wanted.T / wanted.sum(dim=0)[:, None] * F.log_softmax(logits.T, dim=1)).sum(dim=1).mean()
    )
    return (forward + back) / 2


def truth(pictures: Tensor, texts: Tensor, scale: float, truths: Tensor) -> Tensor:
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


def knowledge(pictures: Tensor, names: Tensor, scale: float, likely: Tensor) -> Tensor:
    """Return the cross-entropy of pictures (B, D) against the names of classes (C, D).

    likely: (B, C) a classifier's probabilities, so that what it knows of things that no caption
    mentions stays in place (Hinton et al. 2015).
    """
    return -(likely * F.log_softmax(scale * pictures @ names.T, dim=1)).sum(dim=1).mean()
