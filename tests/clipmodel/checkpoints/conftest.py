"""Weights of a small model, to be spoiled."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn


@pytest.fixture
def weights(openclip: Callable[[str], nn.Module]) -> dict[str, Tensor]:
    """Of a small vision transformer with quick_gelu, under OpenCLIP's names."""
    return {
        name: tensor.clone() for name, tensor in openclip("vit quick_gelu").state_dict().items()
    }


@pytest.fixture
def archive(tmp_path: Path, weights: dict[str, Tensor]) -> Path:
    torch.save(weights, tmp_path / "good.pt")
    return tmp_path / "good.pt"
