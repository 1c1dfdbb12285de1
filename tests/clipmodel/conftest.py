"""Small models with random weights of the reference implementations, made once for all tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clipmodel.config import ModelConfig
from clipmodel.model import CLIP

torch.set_num_threads(1)  # for models this small, threads would only wait for one another

CONTEXT, VOCABULARY = 12, 60
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
VIT = {"image_size": 32, "patch_size": 8, "width": 128, "layers": 2, "head_width": 64}
NARROW = {"image_size": 24, "patch_size": 8, "width": 80, "layers": 3, "head_width": 16}
RESNET = {"image_size": 64, "patch_size": None, "width": 8, "layers": [1, 2, 1, 1]}
TEXT = {
    "context_length": CONTEXT,
    "vocab_size": VOCABULARY,
    "width": 64,
    "heads": 1,
    "layers": 2,
}
# name -> what OpenCLIP calls model_cfg
FAMILIES: dict[str, dict[str, Any]] = {
    "vit quick_gelu": {"vision_cfg": VIT, "quick_gelu": True},
    "vit gelu": {"vision_cfg": VIT},
    "narrow heads": {"vision_cfg": NARROW, "quick_gelu": True, "text_heads": 4},
    "resnet": {"vision_cfg": RESNET, "quick_gelu": True},
    "whole vocabulary": {"vision_cfg": VIT, "quick_gelu": True, "vocab_size": 49408},
}


def model_cfg(family: str) -> dict[str, Any]:
    """As open_clip_config.json holds it."""
    held = dict(FAMILIES[family])
    vocab_size = held.pop("vocab_size", VOCABULARY)
    text = TEXT | {"heads": held.pop("text_heads", 1), "vocab_size": vocab_size}
    return {"embed_dim": 24, "text_cfg": text} | held


def shake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Moves every weight and statistic, so that none is at a value that hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.3 if parameter.ndim == 0 else 0.05
            parameter += scale * torch.randn(parameter.shape, generator=generator)
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer += 0.3 * torch.rand(buffer.shape, generator=generator)
    return model.eval()


@pytest.fixture(scope="session")
def openclip() -> Callable[[str], nn.Module]:
    """family -> OpenCLIP's model of it, always the same."""
    from open_clip.model import CLIP as Reference  # seconds: imported once

    made: dict[str, nn.Module] = {}

    def build(family: str) -> nn.Module:
        if family not in made:
            torch.manual_seed(0)
            made[family] = shake(Reference(**model_cfg(family)))
        return made[family]

    return build


@pytest.fixture(scope="session")
def huggingface() -> Callable[[str], nn.Module]:
    """activation -> Hugging Face's CLIPModel with it."""
    from transformers import CLIPConfig, CLIPModel

    def build(activation: str) -> nn.Module:
        text = {
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
            "hidden_act": activation,
            "bos_token_id": VOCABULARY - 2,
            "eos_token_id": VOCABULARY - 1,
        }
        vision = {
            "hidden_size": 80,
            "intermediate_size": 160,
            "num_hidden_layers": 3,
            "num_attention_heads": 5,
            "image_size": 24,
            "patch_size": 8,
            "hidden_act": activation,
        }
        torch.manual_seed(0)
        config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
        return shake(CLIPModel(config))

    return build


def pictures(config: ModelConfig, count: int = 3) -> Tensor:
    """(count, 3, H, W) normalised pixels."""
    size = config.vision.image_size
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def texts(config: ModelConfig, count: int = 4) -> Tensor:
    """(count, L) token ids of different lengths: a start, words, the end, zeros."""
    context, vocabulary = config.text.context_length, config.text.vocab_size
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, vocabulary - 2, (count, context), generator=generator)
    for row, end in enumerate(torch.linspace(2, context - 1, count).long()):
        ids[row, 0], ids[row, end], ids[row, end + 1 :] = vocabulary - 2, vocabulary - 1, 0
    return ids


def loaded(path: Path, config: ModelConfig | None = None) -> CLIP:
    """A checkpoint as our model, in float32."""
    from clipmodel.checkpoints import read_checkpoint

    weights, found = read_checkpoint(path, config)
    model = CLIP(found)
    model.load_state_dict(weights)
    return model.float().eval()
