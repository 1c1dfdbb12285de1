"""What training makes smaller: pictures far from their captions, texts far from the teacher's."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def targets(captions: Sequence[str], likeness: Tensor, softness: float) -> Tensor:
    """(B, B) rows that sum to 1: equal captions share it, `softness` of it goes to those alike.

    likeness: (B, B) the teacher's cosines. Softening keeps a small model from learning that two
    photos of a running dog are opposites (relational distillation).
    """
    place = {text: i for i, text in enumerate(dict.fromkeys(captions))}
    group = torch.tensor([place[text] for text in captions], device=likeness.device)
    same = (group[:, None] == group[None, :]).float()
    same = same / same.sum(dim=1, keepdim=True)
    return (1 - softness) * same + softness * F.softmax(likeness / 0.08, dim=1)


def contrast(pictures: Tensor, texts: Tensor, scale: Tensor, wanted: Tensor) -> Tensor:
    """Symmetric cross-entropy of unit vectors (B, D) (Radford et al. 2021)."""
    logits = scale * pictures @ texts.T  # (B, B)
    forward = -(wanted * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    back = (
        -(wanted.T / wanted.sum(dim=0)[:, None] * F.log_softmax(logits.T, dim=1)).sum(dim=1).mean()
    )
    return (forward + back) / 2


def truth(pictures: Tensor, texts: Tensor, scale: Tensor, truths: Tensor) -> Tensor:
    """Symmetric cross-entropy of pictures (B, D) against statements (T, D), each true of several.

    truths: (B, T) bool. A caption's loss takes what the others in a batch say for untrue, though it
    may be true as well; here it is known, and every statement that is close to being true is there.
    """
    logits = scale * pictures @ texts.T  # (B, T)
    shares = [truths, truths.T[truths.any(dim=0)]]
    sides = [logits, logits.T[truths.any(dim=0)]]
    losses = [
        -(share / share.sum(dim=1, keepdim=True) * F.log_softmax(side, dim=1)).sum(dim=1).mean()
        for share, side in zip(shares, sides, strict=True)
    ]
    return (losses[0] + losses[1]) / 2


def imitation(texts: Tensor, taught: Tensor, temperature: float = 0.05) -> Tensor:
    """Unit vectors (B, D): near to the teacher's, and nearer to the right one than to any other."""
    near = 1 - (texts * taught).sum(dim=1).mean()
    which = torch.arange(len(texts), device=texts.device)
    return near + 0.2 * F.cross_entropy(texts @ taught.T / temperature, which)
