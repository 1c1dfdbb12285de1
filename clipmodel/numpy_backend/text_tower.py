"""The text tower of model.py in NumPy, without padding, as no token sees a later one."""

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import TextConfig
from clipmodel.numpy_backend.transformer import Transformer, layer_norm
from clipmodel.numpy_backend.weights import Floats, Weights


class TextTransformer:
    """Token ids -> embedding, not normalised, read at the last token."""

    def __init__(self, weights: Weights, config: TextConfig) -> None:
        self._weights = weights
        self._transformer = Transformer(
            weights, config.layers, config.heads, config.activation, causal=True
        )

    def __call__(self, ids: NDArray[np.int64]) -> Floats:
        """Return (B, D) for token ids (B, L) that are all of one length."""
        weights = self._weights
        x = weights.rows("token_embedding.weight", ids)  # (B, L, W)
        x += weights["positional_embedding"][: ids.shape[1]]
        last = layer_norm(self._transformer(x)[:, -1], weights, "ln_final")  # (B, W)
        projected: Floats = last @ weights["text_projection"]  # (B, W) @ (W, D)
        return projected
