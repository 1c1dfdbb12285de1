"""Checkpoints of any layout -> weights under our names, and the config of their model."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from clipmodel.checkpoints.configs import (
    OPENAI_SETTINGS,
    UNKNOWN,
    Settings,
    settings_of_huggingface,
    settings_of_openclip,
    settings_of_user,
)
from clipmodel.checkpoints.files import beside_of, files_of
from clipmodel.checkpoints.json_values import Triple, read_json
from clipmodel.checkpoints.layouts import Layout, translate, with_our_towers
from clipmodel.checkpoints.storage.shards import load_all
from clipmodel.checkpoints.texts import alone
from clipmodel.config import ModelConfig
from clipmodel.errors import CheckpointError, UnknownConfig
from clipmodel.families import (
    IMAGE_FAMILIES,
    TEXT_FAMILIES,
    family_of_weights,
    from_json,
    image_family,
)
from clipmodel.model import CLIP
from clipmodel.towers.shapes import COUNTER, filed

_EXAMPLE = (
    '{"activation": "quick_gelu" or "gelu", "head_width": 64, '
    '"mean": [three numbers], "std": [three numbers]}'
)
_NAMES = {  # of settings that are missing, as an error tells them
    "vision_activation": "the activation",
    "text_activation": "the activation",
    "vision_head_width": "the width of a head",
    "text_head_width": "the width of a head",
    "mean": "the mean of the pixels",
    "std": "their standard deviation",
    "resize": "the size of the pictures",
}


def read_checkpoint(
    path: Path, config: ModelConfig | None = None, *, models: Path | None = None
) -> tuple[dict[str, Tensor], ModelConfig]:
    """Read a checkpoint: a file of OpenAI's, OpenCLIP's or Hugging Face's, or a folder with one.

    Its config is beside it. config: of the model that it must be, if known; it takes precedence.
    models: the folder of models, for the image tower of a text tower that was published alone.

    Returns weights for `CLIP.of(config).load_state_dict`, and the config. Raises
    CheckpointError, UnknownConfig or ModelNotFound.
    """
    file, _ = files_of(path)
    try:
        tensors = load_all(file)
        if alone.is_text_tower(tensors):
            weights, config = alone.read(file, tensors, models)
            return _checked(weights, config), config
        weights, layout = translate(tensors)
        config = config or _written_here(file)
        if config is None:
            settings = _settings(file, layout)
            weights = with_our_towers(weights, settings)
            config = complete(file, weights, settings)
        elif (sign := image_family(config.vision).sign) and sign not in weights:
            raise CheckpointError("its image tower is not of the expected family")
        return _checked(weights, config), config
    except CheckpointError as error:
        named = str(error) if str(file) in str(error) else f"{file}: {error}"
        raise type(error)(named) from error


def read_openai(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], ModelConfig]:
    """Return the weights under our names and the config of a model of OpenAI's kind.

    Nothing tells whether it is of that kind; OpenAI's own code assumes it. Raises CheckpointError.
    """
    weights, layout = translate(state_dict)
    if layout == "huggingface":
        raise CheckpointError("these weights have Hugging Face's names, not OpenAI's")
    config = complete(Path("state_dict"), weights, OPENAI_SETTINGS)
    return _checked(weights, config), config


def _written_here(file: Path) -> ModelConfig | None:
    """Return the config of a model folder beside the weights, if there is one."""
    beside = beside_of(file)["huggingface"]
    held = read_json(beside) if beside.is_file() else {}
    if "image_family" not in held:
        return None
    try:
        return from_json(held)
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{beside} is damaged: {error!r}") from error


def _settings(file: Path, layout: Layout) -> Settings:
    """Return what a user wrote for this file, and else what the author of the weights wrote."""
    beside = beside_of(file)
    if beside["ours"].is_file():
        return settings_of_user(beside["ours"], _settings_of_author(file, layout))
    return _settings_of_author(file, layout)


def _settings_of_author(file: Path, layout: Layout) -> Settings:
    beside = beside_of(file)
    if layout == "huggingface" and beside["huggingface"].is_file():
        return settings_of_huggingface(beside["huggingface"], beside["pixels"], beside["processor"])
    if layout != "huggingface" and beside["openclip"].is_file():
        return settings_of_openclip(beside["openclip"])
    if layout == "openai":  # OpenAI's code builds one kind of model, so its layout says it
        return OPENAI_SETTINGS
    return UNKNOWN


def complete(file: Path, weights: Mapping[str, Tensor], settings: Settings) -> ModelConfig:
    """Return the config: shapes and settings together."""
    if settings.vision:
        image = image_family(settings.vision)
    else:
        image = family_of_weights(IMAGE_FAMILIES, weights)
    text = family_of_weights(TEXT_FAMILIES, weights)
    needed = (*image.needed, *text.needed, "mean", "std")
    if unknown := dict.fromkeys(_NAMES[key] for key in needed if not getattr(settings, key)):
        raise UnknownConfig(
            f"{file}: the weights do not reveal {', '.join(unknown)}; put the right values into "
            f"{file.name}.json beside it: {_EXAMPLE}"
        )
    vision = image.read_config(weights, settings)
    if settings.resize and settings.resize.size != vision.image_size:
        raise CheckpointError(
            f"layout not supported: pictures are cut to {settings.resize.size} pixels a side, and "
            f"the weights are for {vision.image_size}"
        )
    return ModelConfig(
        embed_dim=text.embed_dim(weights),
        vision=vision,
        text=text.read_config(weights, settings),
        mean=cast(Triple, settings.mean),
        std=cast(Triple, settings.std),
        resize=settings.resize,
        logit_bias="logit_bias" in weights,
    )


# --- strictly: every weight, in its shape, a number ---


def _checked(weights: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    with torch.device("meta"):
        model = CLIP.of(config)
    expected = {filed(name): weight for name, weight in model.state_dict().items()}
    counters = {name: torch.tensor(0) for name in expected if name.endswith(COUNTER)}
    given = {name: tensor for name, tensor in weights.items() if name not in counters}
    wanted = {name: tensor for name, tensor in expected.items() if name not in counters}
    _same_names(given.keys() - wanted.keys(), "holds weights that its model does not have")
    _same_names(wanted.keys() - given.keys(), "lacks")
    for name, tensor in given.items():
        _check(name, tensor, wanted[name])
    # In the model's order. Only training uses the counts of batches.
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
