"""Text towers of OpenCLIP's models that are encoders of Hugging Face's -> our names of weights.

RoBERTa and XLM-RoBERTa, the encoder of NLLB (Meta's translator) and that of mT5.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from clipmodel.checkpoints.shapes import layers
from clipmodel.checkpoints.texts.bert import weights_of_bert
from clipmodel.errors import CheckpointError

Tensors = Mapping[str, Tensor]
Options = Mapping[str, Any]  # fields of BertConfig or T5Config beside sizes

_OPENCLIP = "text.transformer."  # before names of Hugging Face's
_EMBEDDINGS = ("embeddings.word_embeddings.weight", "embed_tokens.weight")
_PROJECTIONS = {
    "weight": "text_projection",
    "0.weight": "text_hidden",
    "2.weight": "text_projection",
}
_NLLB = {
    "self_attn.out_proj": "attn.out_proj",
    "self_attn_layer_norm": "ln_1",
    "fc1": "mlp.c_fc",
    "fc2": "mlp.c_proj",
    "final_layer_norm": "ln_2",
}
_MT5 = {
    "layer.0.SelfAttention.o": "attn.out_proj",
    "layer.0.layer_norm": "ln_1",
    "layer.1.DenseReluDense.wi_0": "mlp.c_gate",
    "layer.1.DenseReluDense.wi_1": "mlp.c_fc",
    "layer.1.DenseReluDense.wo": "mlp.c_proj",
    "layer.1.layer_norm": "ln_2",
}


def is_huggingfaces(weights: Tensors) -> bool:
    """Return whether the text tower in a model of OpenCLIP's is an encoder of Hugging Face's."""
    return any(f"{_OPENCLIP}{name}" in weights for name in _EMBEDDINGS)


def is_described(options: Options) -> bool:
    """Return whether a config describes such an encoder."""
    return "padding" in options or options.get("tokens") in _TRANSLATIONS


def of_openclip(weights: Tensors, options: Options, context_length: int) -> dict[str, Tensor]:
    """Translate the names of the text tower's weights. Raises CheckpointError."""
    if "tokens" not in options:
        raise CheckpointError("its text tower needs the open_clip_config.json of its author")
    theirs = {n.removeprefix(_OPENCLIP): t for n, t in weights.items() if n.startswith(_OPENCLIP)}
    translate = _TRANSLATIONS.get(options["tokens"], _of_roberta)
    try:
        ours = translate(theirs, options, context_length)
    except KeyError as error:
        raise CheckpointError(f"its text tower lacks {error}") from error
    for name, our_name in _PROJECTIONS.items():
        if (matrix := weights.get(f"text.proj.{name}")) is not None:
            ours[our_name] = matrix.T.contiguous()
    if "text_hidden" in ours and "text_projection" not in ours:
        raise CheckpointError("its text tower lacks text.proj.2.weight")
    others = {n: t for n, t in weights.items() if not n.startswith((_OPENCLIP, "text.proj."))}
    return others | {f"text.{name}": tensor for name, tensor in ours.items()}


def _of_roberta(theirs: Tensors, options: Options, context_length: int) -> dict[str, Tensor]:
    before = options["padding"] + 1  # rows of positions that no text has
    return weights_of_bert(theirs, context_length, before)


def _of_nllb(theirs: Tensors, options: Options, context_length: int) -> dict[str, Tensor]:
    """The factor of the embeddings is included in them; positions, never stored, are computed."""
    embedding = theirs["embed_tokens.weight"]
    width = embedding.shape[1]
    before = options["padding"] + 1
    weights = {
        "word_embedding.weight": embedding * math.sqrt(width),
        "positional_embedding": _sinusoids(before + context_length, width)[before:],
        "ln_final.weight": theirs["layer_norm.weight"],
        "ln_final.bias": theirs["layer_norm.bias"],
    }
    for number in range(layers(theirs, "layers.")):
        source, block = f"layers.{number}", f"blocks.{number}"
        for kind in ("weight", "bias"):
            qkv = (theirs[f"{source}.self_attn.{n}_proj.{kind}"] for n in "qkv")
            weights[f"{block}.attn.in_proj.{kind}"] = torch.cat([*qkv])
            for name, our_name in _NLLB.items():
                weights[f"{block}.{our_name}.{kind}"] = theirs[f"{source}.{name}.{kind}"]
    return weights


def _sinusoids(places: int, width: int) -> Tensor:
    """Return sines, then cosines, (places, width), as tensor2tensor has them."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half).float() * -(math.log(10000) / (half - 1)))
    angles = torch.arange(places).float()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _of_mt5(theirs: Tensors, options: Options, context_length: int) -> dict[str, Tensor]:
    attention = "layer.0.SelfAttention"
    weights = {
        "word_embedding.weight": theirs["embed_tokens.weight"],
        "relative_bias.weight": theirs[f"block.0.{attention}.relative_attention_bias.weight"],
        "ln_final.weight": theirs["final_layer_norm.weight"],
    }
    for number in range(layers(theirs, "block.")):
        source, block = f"block.{number}", f"blocks.{number}"
        qkv = (theirs[f"{source}.{attention}.{n}.weight"] for n in "qkv")
        weights[f"{block}.attn.in_proj.weight"] = torch.cat([*qkv])
        for name, our_name in _MT5.items():
            weights[f"{block}.{our_name}.weight"] = theirs[f"{source}.{name}.weight"]
    return weights


_TRANSLATIONS: dict[str, Callable[[Tensors, Options, int], dict[str, Tensor]]] = {
    "nllb": _of_nllb,
    "mt5-cased": _of_mt5,
}
