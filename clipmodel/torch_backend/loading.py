"""Models from model folders, on a device and ready to encode."""

import torch
from safetensors import SafetensorError
from torch import nn

from clipmodel.errors import CheckpointError, cannot_read
from clipmodel.families import image_family
from clipmodel.model import CLIP, in_dtype
from clipmodel.model_folder import ModelFolder
from clipmodel.quantised import split
from clipmodel.torch_backend.safetensors_file import load_safetensors
from clipmodel.towers.shapes import COUNTER, check, damaged, filed


def load_model(folder: ModelFolder, device: str | torch.device) -> CLIP:
    """Load a model in evaluation mode: float16 on CUDA (norms float32, as OpenAI's), else float32.

    Raises CheckpointError if the weights do not match the folder's config.
    """
    weights = _read(folder, "vision") | _read(folder, "text")
    with torch.device("meta"):  # no memory for weights that are replaced immediately
        model = CLIP.of(folder.config)
    in_model = {filed(name): name for name in model.state_dict()}
    _fill(model, {in_model.get(name, name): w for name, w in weights.items()}, folder)
    model = model.float().requires_grad_(True).to(device).eval()
    if torch.device(device).type == "cuda":
        in_dtype(model, torch.float16)
    return model


def load_image_tower(folder: ModelFolder) -> nn.Module:
    """Load the image tower alone: evaluation mode, float32, CPU. Raises CheckpointError."""
    config = folder.config
    weights = _read(folder, "vision")
    with torch.device("meta"):
        tower = image_family(config.vision).module(config.vision, config.embed_dim)
    _fill(tower, {name.removeprefix("visual."): w for name, w in weights.items()}, folder)
    return tower.float().eval()


def _read(folder: ModelFolder, tower: str) -> dict[str, torch.Tensor]:
    file = folder.path / f"{tower}.safetensors"
    try:
        return _dequantised(load_safetensors(file))
    except OSError as error:
        raise cannot_read(file, error) from error
    except (SafetensorError, CheckpointError) as error:
        raise damaged(folder.path, error) from error


def _dequantised(held: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    weights, scales = split(held)
    for name, scale in scales.items():
        integers = weights[name]
        parts = integers.reshape(*scale.shape, -1) * scale[..., None].float()  # (R, G, C / G)
        weights[name] = parts.reshape(integers.shape)
    return weights


def _fill(module: nn.Module, weights: dict[str, torch.Tensor], folder: ModelFolder) -> None:
    held, wanted = (
        {name: tuple(weight.shape) for name, weight in weights_of.items()}
        for weights_of in (weights, module.state_dict())
    )
    check(held, wanted, folder.path)
    counters = {name: torch.tensor(0) for name in wanted if name.endswith(COUNTER)}
    module.load_state_dict(counters | weights, assign=True)
