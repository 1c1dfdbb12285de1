"""BERT and its like as Hugging Face stores them (all-MiniLM-L6-v2) -> our text tower."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from clipmodel.checkpoints.json_values import read_json
from clipmodel.checkpoints.shapes import layers
from clipmodel.checkpoints.storage.torch_zip import load_tensors
from clipmodel.config import BertConfig
from clipmodel.errors import CheckpointError

_BLOCK = {
    "attention.output.dense": "attn.out_proj",
    "attention.output.LayerNorm": "ln_1",
    "intermediate.dense": "mlp.c_fc",
    "output.dense": "mlp.c_proj",
    "output.LayerNorm": "ln_2",
}
_EXPECTED = {  # the only settings that bert.py computes
    "model_type": "bert",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
}


def read_bert(folder: Path, context_length: int) -> tuple[dict[str, Tensor], BertConfig]:
    """Read a folder with config.json and model.safetensors; its output is the mean of all tokens.

    context_length: of our tower, cut from the positions that the weights have. Returns weights for
    `Bert(config, config.width)`, whose names lack `text.`, and the config. Raises CheckpointError.
    """
    held = read_json(folder / "config.json")
    for key, expected in _EXPECTED.items():
        if held.get(key, expected) != expected:
            raise CheckpointError(
                f"layout not supported: {folder / 'config.json'} sets {key} = {held[key]!r}"
            )
    try:
        tensors = load_tensors(folder / "model.safetensors")
        weights = weights_of_bert(tensors, context_length)
        config = BertConfig(
            context_length=context_length,
            vocab_size=len(weights["word_embedding.weight"]),
            width=int(held["hidden_size"]),
            layers=layers(weights, "blocks."),
            heads=int(held["num_attention_heads"]),
            mlp_width=int(held["intermediate_size"]),
            projects=False,
        )
    except KeyError as error:
        raise CheckpointError(f"{folder} lacks {error}") from error
    return weights, config


def weights_of_bert(
    tensors: Mapping[str, Tensor], context_length: int, before: int = 0
) -> dict[str, Tensor]:
    """Translate the names of a BERT checkpoint's weights.

    The embedding of the first segment, to which all texts belong, is added to the positions'; the
    pooler is left out, and so are `before` positions.
    """
    start = "embeddings."
    segment = tensors[f"{start}token_type_embeddings.weight"][0]  # (W,)
    positions = tensors[f"{start}position_embeddings.weight"][before:]
    if len(positions) < context_length:
        raise CheckpointError(f"the weights are for {len(positions)} tokens, not {context_length}")
    weights = {
        "word_embedding.weight": tensors[f"{start}word_embeddings.weight"],
        "positional_embedding": positions[:context_length] + segment,
        "ln_embedding.weight": tensors[f"{start}LayerNorm.weight"],
        "ln_embedding.bias": tensors[f"{start}LayerNorm.bias"],
    }
    for number in range(layers(tensors, "encoder.layer.")):
        theirs, ours = f"encoder.layer.{number}", f"blocks.{number}"
        for kind in ("weight", "bias"):
            qkv = (tensors[f"{theirs}.attention.self.{n}.{kind}"] for n in _QKV)
            weights[f"{ours}.attn.in_proj.{kind}"] = torch.cat([*qkv])
            for name, our_name in _BLOCK.items():
                weights[f"{ours}.{our_name}.{kind}"] = tensors[f"{theirs}.{name}.{kind}"]
    return weights


_QKV = ("query", "key", "value")


def weights_of_distilbert(tensors: Mapping[str, Tensor], context_length: int) -> dict[str, Tensor]:
    """Translate the names of a DistilBERT checkpoint's weights; it has no segments."""
    embeddings = "embeddings.position_embeddings.weight"
    known = {n: t for n, t in tensors.items() if n.startswith("embeddings.")}
    width = tensors[embeddings].shape[1]
    known["embeddings.token_type_embeddings.weight"] = torch.zeros(1, width)
    for name, tensor in tensors.items():
        start, _, rest = name.removeprefix("transformer.").rpartition(".")
        number, _, module = start.removeprefix("layer.").partition(".")
        if name.startswith("transformer.layer.") and module in _DISTILBERT:
            known[f"encoder.layer.{number}.{_DISTILBERT[module]}.{rest}"] = tensor
    return weights_of_bert(known, context_length)


_DISTILBERT = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
