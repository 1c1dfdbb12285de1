"""A model folder -> a CLIP on a device, ready to encode."""

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from clipmodel.errors import CheckpointError
from clipmodel.model import CLIP
from clipmodel.pretrained import ModelFolder


def default_device() -> str:
    """The first CUDA device if there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(folder: ModelFolder, device: str | torch.device) -> CLIP:
    """In evaluation mode; float16 on CUDA (norms float32, as OpenAI's), float32 elsewhere.

    Raises CheckpointError where the folder's weights are not those of its config.
    """
    weights: dict[str, torch.Tensor] = {}
    try:
        for tower in ("vision", "text"):
            weights |= load_file(folder.path / f"{tower}.safetensors")
        with torch.device("meta"):
            model = CLIP(folder.config)
        model.load_state_dict(_with_counters(model, weights), assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder.path} is damaged: {error}; remove it to have it made anew"
        ) from error
    model = model.float().requires_grad_(True).to(device).eval()
    return halve(model) if torch.device(device).type == "cuda" else model


def halve(model: CLIP) -> CLIP:
    """float16 weights, in place, but for the norms and the scale of the logits."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if name != "logit_scale":
                parameter.data = parameter.data.half()
    return model


def _with_counters(model: CLIP, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Batch norms count batches while they train; a model folder need not say how many."""
    counters = {
        name: torch.tensor(0) for name in model.state_dict() if name.endswith("num_batches_tracked")
    }
    return counters | weights
