"""timm's names of a vision transformer's weights, in which OpenCLIP stores SigLIP -> ours."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from clipmodel.errors import CheckpointError

TRUNK = "visual.trunk."
_NAMES = {
    "pos_embed": "positional_embedding",
    "patch_embed.proj": "conv1",
    "norm": "ln_post",
    "attn_pool.latent": "pool.probe",
    "attn_pool.proj": "pool.attn.out_proj",
    "attn_pool.norm": "pool.ln",
    "attn_pool.mlp.fc1": "pool.mlp.c_fc",
    "attn_pool.mlp.fc2": "pool.mlp.c_proj",
}
_OF_BLOCK = {
    "norm1": "ln_1",
    "norm2": "ln_2",
    "attn.proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


def translated(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all weights, those of the trunk under our names. Raises CheckpointError for others."""
    ours = dict[str, Tensor]()
    for name, tensor in weights.items():
        if not name.startswith(TRUNK):
            ours[name] = tensor
        elif not name.startswith(f"{TRUNK}attn_pool.") or name.split(".")[3] not in ("q", "kv"):
            ours[f"visual.{_our_name(name.removeprefix(TRUNK))}"] = tensor
    for kind in ("weight", "bias"):
        q, kv = (weights.get(f"{TRUNK}attn_pool.{part}.{kind}") for part in ("q", "kv"))
        if q is not None and kv is not None and q.ndim == kv.ndim > 0:
            ours[f"visual.pool.attn.in_proj_{kind}"] = torch.cat([q, kv])
    if (probe := ours.get("visual.pool.probe")) is not None:
        ours["visual.pool.probe"] = probe.flatten()  # (1, 1, W) -> (W,)
    places = ours.get("visual.positional_embedding")
    if places is not None and places.ndim == 3:
        ours["visual.positional_embedding"] = places[0]  # (1, N, W) -> (N, W)
    return ours


def _our_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if name in _NAMES:
        return _NAMES[name]
    if module in _NAMES:
        return f"{_NAMES[module]}.{kind}"
    if (block := _BLOCK.fullmatch(module)) is not None:
        number, part = block.groups()
        if part == "attn.qkv":
            return f"transformer.resblocks.{number}.attn.in_proj_{kind}"
        if part in _OF_BLOCK:
            return f"transformer.resblocks.{number}.{_OF_BLOCK[part]}.{kind}"
    raise CheckpointError(
        f"layout not supported: an image tower of timm's with weights {TRUNK}{name}, not SigLIP's"
    )
