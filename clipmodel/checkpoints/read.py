"""A checkpoint of any layout -> weights under our names, and the config of their model."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from clipmodel.checkpoints.configs import (
    OPENAI_FACTS,
    Facts,
    facts_of_config,
    facts_of_huggingface,
    facts_of_openclip,
    facts_of_ours,
)
from clipmodel.checkpoints.files import beside_of, files_of
from clipmodel.checkpoints.json_values import Triple
from clipmodel.checkpoints.layouts import Layout, layers, shape, side, translate
from clipmodel.checkpoints.torch_zip import load_tensors
from clipmodel.config import Activation, ModelConfig, ResNetConfig, TextConfig, VisionConfig
from clipmodel.errors import CheckpointError, UnknownConfig
from clipmodel.model import CLIP
from clipmodel.shapes import COUNTER

_EXAMPLE = (
    '{"activation": "quick_gelu" or "gelu", "head_width": 64, '
    '"mean": [three numbers], "std": [three numbers]}'
)


def read_checkpoint(
    path: Path, config: ModelConfig | None = None
) -> tuple[dict[str, Tensor], ModelConfig]:
    """path: a file (OpenAI's, OpenCLIP's, Hugging Face's) or a folder that holds one, its config
    beside it. config: of the model that it must be, where that is known; it takes precedence.

    Returns what `CLIP(config).load_state_dict` takes. Raises CheckpointError, UnknownConfig or
    ModelNotFound.
    """
    file, _ = files_of(path)
    try:
        weights, layout = translate(load_tensors(file))
        if config is not None and isinstance(config.vision, ResNetConfig) != _is_resnet(weights):
            raise CheckpointError("its image tower is of another family than it should be")
        facts = facts_of_config(config) if config else _facts(file, layout)
        found = _complete(file, weights, facts)
        if config is not None and found != config:
            raise CheckpointError(f"it holds {found}, not {config}")
        return _checked(weights, found), found
    except CheckpointError as error:
        named = str(error) if str(file) in str(error) else f"{file}: {error}"
        raise type(error)(named) from error


def _facts(file: Path, layout: Layout) -> Facts:
    """What a user wrote for this file counts most, then the config of who wrote the weights."""
    beside = beside_of(file)
    if beside["ours"].is_file():
        return facts_of_ours(beside["ours"])
    if layout == "huggingface" and beside["huggingface"].is_file():
        return facts_of_huggingface(beside["huggingface"], beside["pixels"], beside["processor"])
    if layout != "huggingface" and beside["openclip"].is_file():
        return facts_of_openclip(beside["openclip"])
    if layout == "openai":  # OpenAI's code builds one kind of model, so its layout says it
        return OPENAI_FACTS
    return Facts(None, None, None, None, None, None)


# --- the config: shapes and facts together ---


def _complete(file: Path, weights: Mapping[str, Tensor], facts: Facts) -> ModelConfig:
    resnet = _is_resnet(weights)
    unknown = _unknown(facts, resnet)
    if unknown:
        raise UnknownConfig(
            f"{file}: the weights do not reveal {', '.join(unknown)}; write what is right into "
            f"{file.name}.json beside it: {_EXAMPLE}"
        )
    vision = _resnet(weights, facts) if resnet else _vision(weights, facts)
    if facts.image_size not in (None, vision.image_size):
        raise CheckpointError(
            f"layout not supported: pictures are cut to {facts.image_size} pixels a side, and the "
            f"weights are for {vision.image_size}"
        )
    return ModelConfig(
        embed_dim=shape(weights, "text.text_projection", 2)[1],
        vision=vision,
        text=_text(weights, facts),
        mean=cast(Triple, facts.mean),
        std=cast(Triple, facts.std),
    )


def _is_resnet(weights: Mapping[str, Tensor]) -> bool:
    return "visual.layer1.0.conv1.weight" in weights


def _unknown(facts: Facts, resnet: bool) -> list[str]:
    needed = {
        "the activation": facts.text_activation and (resnet or facts.vision_activation),
        "the width of a head": facts.vision_head_width and facts.text_head_width,
        "the mean of the pixels": facts.mean,
        "their standard deviation": facts.std,
    }
    return [name for name, value in needed.items() if not value]


def _heads(tower: str, width: int, head_width: int | None) -> int:
    if not head_width or width % head_width:
        raise CheckpointError(
            f"the {tower} tower's width {width} does not divide into heads of {head_width}"
        )
    return width // head_width


def _vision(weights: Mapping[str, Tensor], facts: Facts) -> VisionConfig:
    width, _, patch, _ = shape(weights, "visual.conv1.weight", 4)
    return VisionConfig(
        image_size=patch * side(weights, "visual.positional_embedding"),
        patch_size=patch,
        width=width,
        layers=layers(weights, "visual.transformer.resblocks."),
        heads=_heads("image", width, facts.vision_head_width),
        mlp_width=shape(weights, "visual.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=cast(Activation, facts.vision_activation),
    )


def _resnet(weights: Mapping[str, Tensor], facts: Facts) -> ResNetConfig:
    width = shape(weights, "visual.layer1.0.conv1.weight", 4)[0]
    first, second, third, fourth = (
        layers(weights, f"visual.layer{number}.") for number in (1, 2, 3, 4)
    )
    return ResNetConfig(
        image_size=32 * side(weights, "visual.attnpool.positional_embedding"),
        width=width,
        layers=(first, second, third, fourth),
        heads=_heads("image", 32 * width, facts.vision_head_width),
    )


def _text(weights: Mapping[str, Tensor], facts: Facts) -> TextConfig:
    vocab_size, width = shape(weights, "text.token_embedding.weight", 2)
    return TextConfig(
        context_length=shape(weights, "text.positional_embedding", 2)[0],
        vocab_size=vocab_size,
        width=width,
        layers=layers(weights, "text.transformer.resblocks."),
        heads=_heads("text", width, facts.text_head_width),
        mlp_width=shape(weights, "text.transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
        activation=cast(Activation, facts.text_activation),
    )


# --- strictly: every weight, in its shape, a number ---


def _checked(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        expected = CLIP(config).state_dict()
    counters = {name: torch.tensor(0) for name in expected if name.endswith(COUNTER)}
    given = {name: tensor for name, tensor in weights.items() if name not in counters}
    wanted = {name: tensor for name, tensor in expected.items() if name not in counters}
    _same_names(given.keys() - wanted.keys(), "holds weights that its model has not")
    _same_names(wanted.keys() - given.keys(), "lacks")
    for name, tensor in given.items():
        _check(name, tensor, wanted[name])
    # In the model's order; the counts of batches matter to a training alone.
    return {name: counters[name] if name in counters else _plain(given[name]) for name in expected}


def _plain(tensor: Tensor) -> Tensor:
    return (tensor.float() if tensor.dtype == torch.float64 else tensor).contiguous()


def _same_names(names: set[str], what: str) -> None:
    if names:
        listed = sorted(names)
        more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
        raise CheckpointError(f"it {what}: {', '.join(listed[:8])}{more}")


def _check(name: str, tensor: Tensor, wanted: Tensor) -> None:
    if tensor.shape != wanted.shape:
        raise CheckpointError(
            f"{name} has the shape {tuple(tensor.shape)}, not {tuple(wanted.shape)}"
        )
    if tensor.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise CheckpointError(f"{name} is of {tensor.dtype}, which is not supported")
    if not math.isfinite(float(tensor.double().sum())):
        raise CheckpointError(f"{name} holds values that are not numbers")
