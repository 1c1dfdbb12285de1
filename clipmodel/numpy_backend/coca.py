"""The text tower of towers/coca.py in NumPy, without the places that nothing sees."""

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import CocaTextConfig
from clipmodel.numpy_backend.transformer import (
    ACTIVATIONS,
    attention,
    layer_norm,
    linear,
    split_heads,
    times,
)
from clipmodel.numpy_backend.weights import Floats, Weights


class CocaText:
    """Token ids -> embedding, not normalised: the class token, which sees the text before it."""

    def __init__(self, weights: Weights, config: CocaTextConfig) -> None:
        self._weights = weights
        self._config = config

    def __call__(self, ids: NDArray[np.int64]) -> Floats:
        """Return (B, D) for token ids (B, L), none of them padding."""
        weights, length = self._weights, self._config.context_length
        is_full = ids.shape[1] == length
        if not is_full:  # the first place of padding is seen, see towers/coca.py
            ids = np.pad(ids, ((0, 0), (0, 1)))
        x = weights.rows("token_embedding.weight", ids)  # (B, N, W)
        x += weights["positional_embedding"][: ids.shape[1]]
        last = weights["cls_emb"] + weights["positional_embedding"][length]
        x = np.concatenate([x, np.broadcast_to(last, (len(x), 1, len(last)))], axis=1)
        seen = np.tri(x.shape[1], dtype=bool)
        seen[-1, -1] = is_full
        for layer in range(self._config.layers):
            x = self._block(x, f"transformer.resblocks.{layer}", seen)
        projected: Floats = layer_norm(x[:, -1], weights, "ln_final") @ weights["text_projection"]
        return projected

    def _block(self, x: Floats, name: str, seen: NDArray[np.bool_]) -> Floats:
        weights = self._weights
        normed = layer_norm(x, weights, f"{name}.ln_1")
        joined = times(normed, weights, f"{name}.attn.in_proj_weight")
        joined += weights[f"{name}.attn.in_proj_bias"]
        q, k, v = (split_heads(part, self._config.heads) for part in np.split(joined, 3, axis=2))
        x = x + linear(attention(q, k, v, seen), weights, f"{name}.attn.out_proj")
        hidden = linear(layer_norm(x, weights, f"{name}.ln_2"), weights, f"{name}.mlp.c_fc")
        activated = ACTIVATIONS[self._config.activation](hidden)
        return x + linear(activated, weights, f"{name}.mlp.c_proj")
