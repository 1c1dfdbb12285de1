"""The text tower of towers/t5.py in NumPy, without padding: texts of one length go together."""

import math

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import T5Config
from clipmodel.numpy_backend.transformer import (
    gelu,
    gelu_tanh,
    product,
    softmax,
    split_heads,
    times,
)
from clipmodel.numpy_backend.weights import Floats, Weights

EPSILON = 1e-6  # of all norms
_FAR = 128  # tokens; larger distances are alike


def buckets_of_distances(length: int, buckets: int) -> NDArray[np.int64]:
    """Return the bucket, (L, L), of the distance from each token (rows) to each token (columns).

    Half of them are for later tokens. Of each half, the first half holds a distance each, the
    others are logarithmic (mesh-tensorflow's transformer_layers.py).
    """
    distance = np.arange(length)[None, :] - np.arange(length)[:, None]
    half, exact = buckets // 2, buckets // 4
    far = np.maximum(np.abs(distance), 1).astype(np.float32) / np.float32(exact)
    logarithm = np.log(far) / np.float32(math.log(_FAR / exact)) * np.float32(half - exact)
    large = np.minimum(exact + logarithm.astype(np.int64), half - 1)
    bucket = np.where(np.abs(distance) < exact, np.abs(distance), large)
    found: NDArray[np.int64] = (distance > 0) * half + bucket
    return found


class T5:
    """Token ids -> embedding, not normalised: the mean over all tokens."""

    def __init__(self, weights: Weights, config: T5Config) -> None:
        self._weights = weights
        self._config = config

    def __call__(self, ids: NDArray[np.int64]) -> Floats:
        """Return (B, D) for token ids (B, L), none of them padding."""
        weights, config = self._weights, self._config
        buckets = buckets_of_distances(ids.shape[1], config.buckets)
        bias = weights["relative_bias.weight"][buckets].transpose(2, 0, 1)  # (heads, L, L)
        x = weights.rows("word_embedding.weight", ids)  # (B, L, W)
        for layer in range(config.layers):
            x = self._block(x, bias, f"blocks.{layer}")
        mean: Floats = self._norm(x, "ln_final").mean(axis=1)  # (B, W)
        if config.hidden:
            mean = gelu(product(mean, weights["text_hidden"]))
        return product(mean, weights["text_projection"]) if config.projects else mean

    def _block(self, x: Floats, bias: Floats, name: str) -> Floats:
        x = x + self._attend(self._norm(x, f"{name}.ln_1"), bias, f"{name}.attn")
        return x + self._perceive(self._norm(x, f"{name}.ln_2"), f"{name}.mlp")

    def _norm(self, x: Floats, name: str) -> Floats:
        mean_square = np.square(x).mean(axis=-1, keepdims=True)
        scaled: Floats = x / np.sqrt(mean_square + np.float32(EPSILON))
        return scaled * self._weights[f"{name}.weight"]

    def _attend(self, x: Floats, bias: Floats, name: str) -> Floats:
        qkv = times(x, self._weights, f"{name}.in_proj.weight")  # (B, L, 3I)
        q, k, v = (split_heads(part, self._config.heads) for part in np.split(qkv, 3, axis=2))
        mixed = softmax(q @ k.swapaxes(2, 3) + bias) @ v  # not divided: the weights allow for it
        joined = mixed.swapaxes(1, 2).reshape(*x.shape[:2], -1)  # (B, L, I)
        return times(joined, self._weights, f"{name}.out_proj.weight")

    def _perceive(self, x: Floats, name: str) -> Floats:
        gate = gelu_tanh(times(x, self._weights, f"{name}.c_gate.weight"))
        hidden = gate * times(x, self._weights, f"{name}.c_fc.weight")
        return times(hidden, self._weights, f"{name}.c_proj.weight")
