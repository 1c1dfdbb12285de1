"""Image towers that OpenCLIP and timm build: those of MobileCLIP, PE-Core, EVA-02, ConvNeXt, CLIPA.

Both packages are the extra `models`. Their towers are torch's alone: a single picture, too, waits
for torch. Texts do not, as the text towers of these models are ours.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from clipmodel.config import OpenClipVisionConfig
from clipmodel.errors import CheckpointError, ClipModelError
from clipmodel.numpy_backend.weights import Floats, Weights
from clipmodel.towers.precision import dtype_of
from clipmodel.towers.shapes import COUNTER, Shapes

# Of the training, or of outputs that no embedding needs.
_WITHOUT = ("output_tokens", "timm_model_pretrained", "patch_dropout", "timm_drop_path")


def build(config: OpenClipVisionConfig, embed_dim: int) -> nn.Module:
    """Return OpenCLIP's tower for this config, with weights drawn anew.

    It is never built on torch's meta device: what it computes once and stores nowhere, such as
    rotary positions, would be missing. Raises CheckpointError, or ClipModelError without the extra.
    """
    with torch.device("cpu"):
        tower = _built(config, embed_dim)
    tower.register_forward_pre_hook(_in_dtype_of_weights)
    return tower


def _in_dtype_of_weights(tower: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    return (given[0].to(dtype_of(tower)),)


def shapes(config: OpenClipVisionConfig, embed_dim: int) -> Shapes:
    """Return the names and shapes of all weights."""
    with torch.device("meta"):
        state = _built(config, embed_dim).state_dict()
    return {name: tuple(w.shape) for name, w in state.items() if not name.endswith(COUNTER)}


def _built(config: OpenClipVisionConfig, embed_dim: int) -> nn.Module:
    try:
        from open_clip.model import CLIPVisionCfg, _build_vision_tower
    except ImportError as error:
        raise ClipModelError(
            "this model's image tower is one of OpenCLIP's: pip install \".[models]\""
        ) from error
    settings = {k: v for k, v in json.loads(config.settings).items() if k not in _WITHOUT}
    try:
        tower = _build_vision_tower(embed_dim, CLIPVisionCfg(**settings), config.quick_gelu)
    except (TypeError, ValueError, RuntimeError, AssertionError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"OpenCLIP cannot build its image tower: {reason}") from error
    return tower.eval()  # type: ignore[no-any-return]


def through_torch(weights: Weights, config: OpenClipVisionConfig) -> Callable[[Floats], Floats]:
    """Return a function from (B, S, S, 3) normalised pixels to (B, D), which torch computes."""
    tower = build(config, config.embed_dim)
    held: dict[str, Any] = {name: weights[name] for name in shapes(config, config.embed_dim)}
    state = {name: torch.from_numpy(np.array(weight)) for name, weight in held.items()}
    counters = {name: torch.tensor(0) for name in tower.state_dict() if name.endswith(COUNTER)}
    tower.load_state_dict(state | counters)

    @torch.inference_mode()
    def encode(x: Floats) -> Floats:
        made: Floats = tower(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
        return made

    return encode
