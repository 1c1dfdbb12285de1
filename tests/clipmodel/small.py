"""Small models: how those of the reference implementations are made, and what goes into them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clipmodel.config import (
    BertConfig,
    EfficientNetConfig,
    ModelConfig,
    Resize,
    ResNetConfig,
    SiglipVisionConfig,
    Stage,
    TextConfig,
    VisionConfig,
)
from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.vocabularies import vocabulary_of

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
    from clipmodel.checkpoints.read import read_checkpoint

    weights, found = read_checkpoint(path, config)
    model = CLIP.of(found)
    model.load_state_dict(weights)
    return model.float().eval()


def write_openclip(folder: Path, weights: dict[str, Tensor], **config: Any) -> Path:
    """A checkpoint with its open_clip_config.json."""
    held = {
        "model_cfg": model_cfg("vit quick_gelu") | config,
        "preprocess_cfg": {"mean": MEAN, "std": STD},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(held))
    save_file(weights, folder / "model.safetensors")
    return folder / "model.safetensors"


# --- models of ours, with the whole vocabulary ---

VIT_CONFIG = ModelConfig(
    embed_dim=48,
    vision=VisionConfig(32, 8, 64, 2, 4, 256, "gelu"),
    text=TextConfig(77, 49408, 64, 3, 4, 256, "quick_gelu"),
    mean=(0.48, 0.46, 0.41),
    std=(0.27, 0.26, 0.28),
)
RESNET_CONFIG = replace(VIT_CONFIG, vision=ResNetConfig(64, 16, (1, 1, 1, 1), 8))


EFFICIENTNET_CONFIG = replace(
    VIT_CONFIG,
    vision=EfficientNetConfig(
        image_size=64,
        stem=8,
        stages=(Stage(3, 1, 1, 8, 2), Stage(5, 2, 3, 16, 2), Stage(3, 2, 6, 24, 1)),
        head_width=40,
        projection=(32,),
        all_stages=True,
        classes=10,
    ),
)
WORDS = ("a", "red", "car", "dog", "on", "the", "beach", ",", "!", "##s", "##ch", "b", "##ea", "犬")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
SIGLIP_CONFIG = replace(
    VIT_CONFIG,
    embed_dim=64,
    vision=SiglipVisionConfig(35, 8, 64, 2, 4, 96, "gelu_tanh"),
    text=TextConfig(
        *(16, 50, 64, 2, 4, 128, "gelu_tanh"),
        tokens="siglip",
        causal=False,
        pool="last",
        epsilon=1e-6,
        biased=True,
    ),
    resize=Resize(35, "squash", "bilinear"),
    logit_bias=True,
)
BERT_CONFIG = replace(VIT_CONFIG, text=BertConfig(16, len(PIECES), 64, 2, 4, 128, projects=True))


def saved(path: Path, config: ModelConfig, **stored: Any) -> ModelFolder:
    """A folder of random weights, with the vocabulary that a BERT needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ("\n".join(PIECES) + "\n").encode()
    files = dict.fromkeys(vocabulary_of(config.text).files, words)
    state = model_of(config).state_dict()
    return save_folder(path, path.name, config, state, files=files, **stored)


def model_of(config: ModelConfig) -> CLIP:
    torch.manual_seed(0)
    model = CLIP.of(config).eval()
    for parameter in model.parameters():  # beyond the initial values, where many are 0 or 1
        parameter.data += 0.02 * torch.randn_like(parameter)
    for name, statistic in model.named_buffers():
        if "running" in name:
            statistic += 0.3 * torch.rand_like(statistic)
    return model
