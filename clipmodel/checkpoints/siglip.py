"""SigLIP's settings, as Hugging Face and OpenCLIP (with timm) store them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmodel.checkpoints.json_values import read_json, whole
from clipmodel.config import Activation
from clipmodel.errors import CheckpointError

EPSILON = 1e-6  # of all norms
_LARGE_VOCABULARY = 100_000  # pieces; T5 has 32,000, Gemma 256,000

# timm's names: its towers' activations are part of its code, and of no checkpoint.
_TIMM = re.compile(r"vit_(base|large|so400m|giantopt)_patch(\d+)_siglip_(\d+)")
_TANH = re.compile(
    r"vit_(base_patch32_siglip_256|large_patch16_siglip_512|(so400m|giantopt)_patch16_siglip_\d+)"
)
_HEAD_WIDTHS = {"base": 64, "large": 64, "so400m": 72, "giantopt": 96}  # channels


def of_timm(path: Path, name: object) -> tuple[Activation, int]:
    """Return the activation and the width of a head of a tower of timm's. Raises CheckpointError.

    path: of the config that names it.
    """
    found = _TIMM.fullmatch(str(name))
    if found is None:
        flexible = ", whose pictures have no fixed size" if str(name).startswith("naflex") else ""
        raise CheckpointError(
            f"layout not supported: {path} sets vision_cfg.timm_model_name = {name!r}{flexible}"
        )
    return "gelu_tanh" if _TANH.fullmatch(str(name)) else "gelu", _HEAD_WIDTHS[found[1]]


def tokens(config: Path, vocab_size: object) -> str:
    """Return whose vocabulary it is: T5's of SigLIP, or Gemma's of SigLIP 2."""
    file = config.with_name("tokenizer_config.json")
    end = read_json(file).get("eos_token") if file.is_file() else None
    name = end.get("content") if isinstance(end, dict) else end
    is_large = (whole(config, "vocab_size", vocab_size) or 0) > _LARGE_VOCABULARY
    return "siglip2" if name == "<eos>" or (name is None and is_large) else "siglip"


def check_towers(path: Path, vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    """Raise CheckpointError for a `siglip` of Hugging Face's that computes something else."""
    for where, tower in (("vision_config", vision), ("text_config", text)):
        if tower.get("layer_norm_eps", EPSILON) != EPSILON:
            raise CheckpointError(f"layout not supported: {path} sets {where}.layer_norm_eps")
    if not vision.get("vision_use_head", True):
        raise CheckpointError(f"layout not supported: {path} sets vision_config.vision_use_head")
