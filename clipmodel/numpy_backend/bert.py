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
    """Token ids -> embedding, not normalised: the mean over all tokens."""

    def __init__(self, weights: Weights, config: BertConfig) -> None:
        self._weights = weights
        self._config = config

    def __call__(self, ids: NDArray[np.int64]) -> Floats:
        """Return (B, D) for token ids (B, L), none of them padding."""
        weights = self._weights
        x = weights.rows("word_embedding.weight", ids)  # (B, L, W)
        x += weights["positional_embedding"][: ids.shape[1]]
        x = layer_norm(x, weights, "ln_embedding", self._config.epsilon)
        for layer in range(self._config.layers):
            x = self._block(x, f"blocks.{layer}")
        mean: Floats = x.mean(axis=1)  # (B, W)
        if self._config.hidden:
            mean = gelu(product(mean, weights["text_hidden"]))
        return product(mean, weights["text_projection"]) if self._config.projects else mean

    def _block(self, x: Floats, name: str) -> Floats:
        weights, epsilon = self._weights, self._config.epsilon
        x = layer_norm(x + self._attend(x, f"{name}.attn"), weights, f"{name}.ln_1", epsilon)
        hidden = gelu(linear(x, weights, f"{name}.mlp.c_fc"))
        x = x + linear(hidden, weights, f"{name}.mlp.c_proj")
        return layer_norm(x, weights, f"{name}.ln_2", epsilon)

    def _attend(self, x: Floats, name: str) -> Floats:
        qkv = linear(x, self._weights, f"{name}.in_proj")  # (B, L, 3W)
        q, k, v = (split_heads(part, self._config.heads) for part in np.split(qkv, 3, axis=2))
        return linear(attention(q, k, v), self._weights, f"{name}.out_proj")
