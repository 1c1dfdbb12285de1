"""The text tower of towers/bert.py in NumPy, without padding: texts of one length go together."""

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import BertConfig
from clipmodel.numpy_backend.transformer import (
    attention,
    gelu,
    layer_norm,
    linear,
    product,
    split_heads,
)
from clipmodel.numpy_backend.weights import Floats, Weights


class Bert:
    """Token ids -> embedding, not normalised."""

    def __init__(self, weights: Weights, config: BertConfig) -> None:
        self._weights = weights
        self._config = config

    def __call__(self, ids: NDArray[np.int64]) -> Floats:
        """Return (B, D) for token ids (B, L), none of them padding."""
        weights = self._weights
        x = weights.rows("word_embedding.weight", ids)  # (B, L, W)
        x += weights["positional_embedding"][: ids.shape[1]]
        norm_first, epsilon = self._config.norm_first, self._config.epsilon
        x = x if norm_first else layer_norm(x, weights, "ln_embedding", epsilon)
        block = self._block_norm_first if norm_first else self._block
        for layer in range(self._config.layers):
            x = block(x, f"blocks.{layer}")
        x = layer_norm(x, weights, "ln_final", epsilon) if norm_first else x
        pooled: Floats = x[:, 0] if self._config.pool == "first" else x.mean(axis=1)  # (B, W)
        if self._config.hidden:
            pooled = gelu(product(pooled, weights["text_hidden"]))
        if self._config.projects:
            pooled = product(pooled, weights["text_projection"])
        return pooled + weights["text_bias"] if self._config.biased else pooled

    def _block(self, x: Floats, name: str) -> Floats:
        weights, epsilon = self._weights, self._config.epsilon
        x = layer_norm(x + self._attend(x, f"{name}.attn"), weights, f"{name}.ln_1", epsilon)
        return layer_norm(x + self._perceive(x, f"{name}.mlp"), weights, f"{name}.ln_2", epsilon)

    def _block_norm_first(self, x: Floats, name: str) -> Floats:
        weights, epsilon = self._weights, self._config.epsilon
        x = x + self._attend(layer_norm(x, weights, f"{name}.ln_1", epsilon), f"{name}.attn")
        normed = layer_norm(x, weights, f"{name}.ln_2", epsilon)
        return x + self._perceive(normed, f"{name}.mlp")

    def _perceive(self, x: Floats, name: str) -> Floats:
        hidden = linear(x, self._weights, f"{name}.c_fc")
        is_relu = self._config.activation == "relu"
        activated = np.maximum(hidden, 0) if is_relu else gelu(hidden)
        return linear(activated, self._weights, f"{name}.c_proj")

    def _attend(self, x: Floats, name: str) -> Floats:
        qkv = linear(x, self._weights, f"{name}.in_proj")  # (B, L, 3W)
        q, k, v = (split_heads(part, self._config.heads) for part in np.split(qkv, 3, axis=2))
        return linear(attention(q, k, v), self._weights, f"{name}.out_proj")
