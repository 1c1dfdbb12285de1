"""The text tower of model.py in NumPy: without padding, if no token sees a later one."""

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import TextConfig
from clipmodel.numpy_backend.transformer import Transformer, layer_norm
from clipmodel.numpy_backend.weights import Floats, Weights


class TextTransformer:
    """Token ids -> embedding, not normalised, read at one token."""

    def __init__(self, weights: Weights, config: TextConfig) -> None:
        self._weights = weights
        self._transformer = Transformer(
            weights, config.layers, config.heads, config.activation, config.causal, config.epsilon
        )
        self._config = config

    def __call__(self, ids: NDArray[np.int64]) -> Floats:
        """Return (B, D) for token ids (B, L), which end with the text unless padding is seen."""
        weights = self._weights
        x = weights.rows("token_embedding.weight", ids)  # (B, L, W)
        x += weights["positional_embedding"][: ids.shape[1]]
        is_highest = self._config.sees_padding and self._config.pool == "highest"
        place = ids.argmax(axis=1) if is_highest else -1
        last = self._transformer(x)[np.arange(len(x)), place]  # (B, W)
        normed = layer_norm(last, weights, "ln_final", self._config.epsilon)
        projected: Floats = normed
        if self._config.projects:
            projected = normed @ weights["text_projection"]  # (B, W) @ (W, D)
        return projected + weights["text_bias"] if self._config.biased else projected
