"""Checkpoints of small models, equal on every machine: no generator of random numbers is asked."""

from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

# The arguments of `clip.model.CLIP`, but for the last ones, which both models share.
SIZES = {"vit": (48, 32, 3, 128, 8), "resnet": (48, 64, (1, 2, 1, 1), 16, None)}
TEXT = (77, 49408, 128, 2, 2)


def noise(shape: tuple[int, ...], seed: str) -> Tensor:
    """Numbers from -1 to 1, from their places alone (the finaliser of MurmurHash3)."""
    x = np.arange(int(np.prod(shape)), dtype=np.uint32) + np.uint32(crc32(seed.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    return torch.from_numpy((x / 2**31 - 1).astype(np.float32).reshape(shape))


def state_dict(family: str) -> dict[str, Tensor]:
    """All weights of a model, under OpenAI's names."""
    from clip.model import CLIP

    state = CLIP(*SIZES[family], *TEXT).state_dict()
    return {name: _weight(name, tensor) for name, tensor in state.items()}


def _weight(name: str, tensor: Tensor) -> Tensor:
    values = noise(tuple(tensor.shape), name)
    if name == "logit_scale":
        return torch.tensor(3.0)
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if "embedding" in name:
        return values / 4
    if tensor.ndim > 1:
        return 2 * values / tensor[0].numel() ** 0.5
    centre = 1 if "var" in name or ("weight" in name and ("ln_" in name or "bn" in name)) else 0
    return centre + 0.2 * values


def checkpoint(folder: Path, family: str) -> str:
    """A file of weights as OpenAI's code writes them: those of products in halves."""
    from clip.clip import build_model

    path = folder / f"{family}.pt"
    torch.save(build_model(state_dict(family)).state_dict(), path)
    return str(path)


def picture(count: int, side: int, seed: str = "picture") -> Tensor:
    """(count, 3, side, side) normalised pixels."""
    return 1.5 * noise((count, 3, side, side), seed)
