"""The dtypes of a model's weights: those of products, and those that stay in float32."""

import torch
from torch import nn

from clipmodel.towers.transformer import LayerNorm

_PROJECTIONS = ("text_projection", "proj")
_WHOLE = ("logit_scale", "logit_bias", "class_embedding", "positional_embedding")


def convert_weights(model: nn.Module) -> None:
    """Convert in place to float16 what OpenAI's models hold in it: the weights of products.

    Embeddings, norms and the scale of the logits stay.
    """
    for part in model.modules():
        if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Linear | nn.MultiheadAttention):
            held = list(part.parameters(recurse=False))
        else:
            held = [p for n, p in part.named_parameters(recurse=False) if n in _PROJECTIONS]
        for parameter in held:
            parameter.data = parameter.data.half()


def in_dtype(module: nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights of a tower of any family in place, except what OpenAI keeps in float32.

    That is the norms, the embeddings, and the scale and bias of the logits.
    """
    for part in module.modules():
        if isinstance(part, LayerNorm | nn.BatchNorm2d | nn.Embedding):  # the norms take any dtype
            continue
        for name, parameter in part.named_parameters(recurse=False):
            if name not in _WHOLE:
                parameter.data = parameter.data.to(dtype)


def dtype_of(tower: nn.Module) -> torch.dtype:
    """Return the dtype of a tower's products."""
    products = (part for part in tower.modules() if isinstance(part, nn.Conv2d | nn.Linear))
    return next(part.weight.dtype for part in products)
