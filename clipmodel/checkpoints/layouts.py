"""Other layouts' names of weights -> ours, recognised by the names; what their shapes reveal."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from clipmodel.checkpoints import timm
from clipmodel.checkpoints.configs import Settings
from clipmodel.checkpoints.texts import encoders
from clipmodel.errors import CheckpointError
from clipmodel.towers.shapes import OPENAI_NUMBERS, filed

Layout = Literal["openai", "openclip", "huggingface"]

_DECODER = "text_decoder."  # of CoCa, which writes captions
# Signs of towers that resemble CLIP's but compute something else.
_OTHER_TOWERS = {
    "visual.attn_pool.": "an attentional pool; put its open_clip_config.json beside it",
    "ls_1.gamma": "layer scale; put its open_clip_config.json beside it",
    "visual.head.": "an image tower of another family; put its open_clip_config.json beside it",
}
_HF_TOP = {
    "visual_projection.weight": "visual.proj",
    "text_projection.weight": "text.text_projection",
    "logit_scale": "logit_scale",
    "logit_bias": "logit_bias",
    "text_model.head.weight": "text.text_projection",
    "text_model.head.bias": "text.text_bias",
    "vision_model.embeddings.patch_embedding.bias": "visual.conv1.bias",
    "vision_model.head.probe": "visual.pool.probe",
    "vision_model.head.attention.in_proj_weight": "visual.pool.attn.in_proj_weight",
    "vision_model.head.attention.in_proj_bias": "visual.pool.attn.in_proj_bias",
    **{
        f"vision_model.head.{theirs}.{kind}": f"visual.pool.{ours}.{kind}"
        for theirs, ours in (
            ("attention.out_proj", "attn.out_proj"),
            ("layernorm", "ln"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
        )
        for kind in ("weight", "bias")
    },
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm.weight": "visual.ln_pre.weight",  # their spelling
    "vision_model.pre_layrnorm.bias": "visual.ln_pre.bias",
    "vision_model.post_layernorm.weight": "visual.ln_post.weight",
    "vision_model.post_layernorm.bias": "visual.ln_post.bias",
    "text_model.embeddings.token_embedding.weight": "text.token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "text.positional_embedding",
    "text_model.final_layer_norm.weight": "text.ln_final.weight",
    "text_model.final_layer_norm.bias": "text.ln_final.bias",
}
_PROJECTIONS = ("visual_projection.weight", "text_projection.weight", "text_model.head.weight")
_HF_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
_HF_TOWERS = {"vision_model.encoder.layers.": "visual", "text_model.encoder.layers.": "text"}


def translate(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Layout]:
    """Return the same weights under our names, and the layout they came in.

    Raises CheckpointError for weights of another model, or of a CLIP that is not supported.
    """
    tensors = _unwrapped(tensors)
    if is_huggingfaces(tensors):
        return _from_huggingface(tensors), "huggingface"
    if not any(name.startswith("visual.") for name in tensors):
        raise CheckpointError(
            f"these are not the weights of a CLIP; their names are {_some(tensors) or 'missing'}"
        )
    layout: Layout = "openai" if _is_openais(tensors) else "openclip"
    weights = {
        filed(name): tensor
        for name, tensor in tensors.items()
        if name not in OPENAI_NUMBERS and not name.startswith(_DECODER)
    }
    return _plain(weights), layout


def with_our_towers(weights: dict[str, Tensor], settings: Settings) -> dict[str, Tensor]:
    """Return the weights under our names, but for an image tower that OpenCLIP is to build.

    Raises CheckpointError for towers that are neither.
    """
    if encoders.is_huggingfaces(weights):
        weights = encoders.of_openclip(weights, settings.text, settings.context_length)
    elif encoders.is_described(settings.text):
        raise CheckpointError(
            "layout not supported: its open_clip_config.json sets text_cfg.hf_model_name, but the "
            "weights hold another text tower; put their own config beside them"
        )
    if settings.vision is not None:
        return weights
    if any(name.startswith(timm.TRUNK) for name in weights):
        return timm.translated(weights)
    _refuse(weights, _OTHER_TOWERS)
    return weights


def _refuse(weights: Mapping[str, Tensor], others: Mapping[str, str]) -> None:
    for sign, what in others.items():
        if any(sign in name for name in weights):
            raise CheckpointError(f"layout not supported: {what} ({sign.rstrip('.')})")


def is_huggingfaces(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the names are Hugging Face's."""
    return any(name.startswith(("text_model.", "vision_model.")) for name in tensors)


def _is_openais(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether OpenAI's code wrote the weights: with its numbers, or as it halves them."""
    if tensors.keys() >= {*OPENAI_NUMBERS}:
        return True
    dtypes = {name: tensor.dtype for name, tensor in tensors.items()}
    halves, wholes = ("text_projection", "visual.conv1.weight"), ("token_embedding.weight",)
    return all(dtypes.get(name) == torch.float16 for name in halves) and all(
        dtypes.get(name) == torch.float32 for name in (*wholes, "ln_final.weight")
    )


def _unwrapped(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Remove what others add to names.

    DistributedDataParallel and modules around a CLIP add a prefix to every name, torch.compile one
    to those of each part that it compiled.
    """
    tensors = {name.replace("_orig_mod.", ""): tensor for name, tensor in tensors.items()}
    for prefix in ("module.", "model.", "clip."):
        if tensors and all(name.startswith(prefix) for name in tensors):
            return _unwrapped({name.removeprefix(prefix): t for name, t in tensors.items()})
    return tensors


def _plain(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give weights our shapes, which some store with dimensions of one, or as a linear layer."""
    for name in ("logit_scale", "logit_bias"):
        if name in weights and weights[name].numel() == 1:
            weights[name] = weights[name].reshape(())
    if (probe := weights.get("visual.pool.probe")) is not None:
        weights["visual.pool.probe"] = probe.flatten()
    if (matrix := weights.pop("text.text_projection.weight", None)) is not None:
        weights["text.text_projection"] = matrix.T.contiguous()  # (D, W) -> (W, D)
    if (bias := weights.pop("text.text_projection.bias", None)) is not None:
        weights["text.text_bias"] = bias
    return weights


def _from_huggingface(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith("embeddings.position_ids"):
            continue  # 0, 1, 2 …: a buffer of older versions
        ours = _HF_TOP.get(name) or _block_name(name)
        if ours is None:
            continue  # q, k or v, which are joined below, or unknown
        projects = name in _PROJECTIONS
        weights[ours] = (
            tensor.T.contiguous() if projects and tensor.ndim == 2 else tensor
        )  # (D, W) -> (W, D)
    weights |= _joined(tensors)
    unknown = [name for name in tensors if not _is_known(name)]
    if unknown:
        raise CheckpointError(f"layout not supported: the weights hold {_some(unknown)}")
    return _plain(weights)


def _is_known(name: str) -> bool:
    return (
        name in _HF_TOP
        or _block_name(name) is not None
        or _part(name) is not None
        or "position_ids" in name
    )


def _block_name(name: str) -> str | None:
    """Translate text_model.encoder.layers.3.mlp.fc1.bias to text.….resblocks.3.mlp.c_fc.bias."""
    for prefix, tower in _HF_TOWERS.items():
        if name.startswith(prefix):
            number, _, rest = name.removeprefix(prefix).partition(".")
            module, _, kind = rest.rpartition(".")
            if module in _HF_BLOCK:
                return f"{tower}.transformer.resblocks.{number}.{_HF_BLOCK[module]}.{kind}"
    return None


def _part(name: str) -> tuple[str, str] | None:
    """Split …layers.3.self_attn.q_proj.bias into (text…3.attn.in_proj_bias, q_proj)."""
    for prefix, tower in _HF_TOWERS.items():
        number, _, rest = name.removeprefix(prefix).partition(".")
        pieces = rest.split(".")
        if (
            name.startswith(prefix)
            and len(pieces) == 3
            and pieces[0] == "self_attn"
            and pieces[1] in _QKV
        ):
            return f"{tower}.transformer.resblocks.{number}.attn.in_proj_{pieces[2]}", pieces[1]
    return None


_QKV = ("q_proj", "k_proj", "v_proj")


def _joined(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join three projections into the one of our attention."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        part = _part(name)
        if part is not None:
            groups.setdefault(part[0], {})[part[1]] = tensor
    joined = {}
    for ours, parts in groups.items():
        ordered = [parts[key] for key in _QKV if key in parts]
        if (
            len(ordered) < 3
            or len({tensor.shape for tensor in ordered}) > 1
            or ordered[0].ndim == 0
        ):
            raise CheckpointError(f"the three parts of {ours} do not fit together")
        joined[ours] = torch.cat(ordered)  # three (W, W) -> (3W, W)
    return joined


def _some(names: Mapping[str, Tensor] | list[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
