"""The transformer of model.py in NumPy, for both towers: leaves to root."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import Activation
from clipmodel.numpy_backend.integers import integer_product
from clipmodel.numpy_backend.threads import shared_product
from clipmodel.numpy_backend.weights import Floats, Weights


def quick_gelu(x: Floats) -> Floats:
    """Compute x · sigmoid(1.702 x), OpenAI's approximation of GELU."""
    with np.errstate(over="ignore"):  # far below zero the exponential is infinite, and x / inf 0
        activated: Floats = x / (1 + np.exp(np.float32(-1.702) * x))
    return activated


def gelu(x: Floats) -> Floats:
    """Compute x · Φ(x), with erf as in Abramowitz and Stegun 7.1.26 (error at most 1.5e-7)."""
    scaled = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    erf = np.sign(x) * (1 - series * np.exp(-scaled * scaled))
    activated: Floats = (0.5 * x * (1 + erf)).astype(np.float32)
    return activated


def gelu_tanh(x: Floats) -> Floats:
    """Compute the approximation of GELU by tanh, √(2/π) (x + 0.044715 x³)."""
    inside = np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)
    activated: Floats = np.float32(0.5) * x * (1 + np.tanh(inside))
    return activated


ACTIVATIONS: dict[Activation, Callable[[Floats], Floats]] = {
    "quick_gelu": quick_gelu,
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
}


def linear(x: Floats, weights: Weights, name: str) -> Floats:
    """Map (..., I) to (..., O)."""
    return times(x, weights, f"{name}.weight") + weights[f"{name}.bias"]


def times(x: Floats, weights: Weights, name: str) -> Floats:
    """Map (..., I) to (..., O) by the transpose of a weight (O, I)."""
    held = weights.integers(name)
    if held is None:
        return product(x, weights[name].T)
    flat = integer_product(x.reshape(-1, x.shape[-1]), *held)
    return flat.reshape(*x.shape[:-1], -1)


def product(x: Floats, matrix: Floats) -> Floats:
    """Multiply x (..., I) by matrix (I, O) as one product, not one for each of the batch."""
    flat = shared_product(x.reshape(-1, x.shape[-1]), matrix)
    return flat.reshape(*x.shape[:-1], -1)


def layer_norm(x: Floats, weights: Weights, name: str, epsilon: float = 1e-5) -> Floats:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    scaled: Floats = centred / np.sqrt(variance + np.float32(epsilon))
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def split_heads(x: Floats, heads: int) -> Floats:
    """Reshape (B, N, W) to (B, heads, N, W / heads)."""
    batch, places, width = x.shape
    return x.reshape(batch, places, heads, width // heads).swapaxes(1, 2)


def softmax(scores: Floats) -> Floats:
    """Return probabilities over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def attention(q: Floats, k: Floats, v: Floats, seen: NDArray[np.bool_] | None = None) -> Floats:
    """Attend with q (B, heads, M, W / heads) to k and v (B, heads, N, W / heads): (B, M, W).

    seen: (M, N), which places each place sees; None: all.
    """
    batch, heads, places, width = q.shape
    scores = q @ k.swapaxes(2, 3) / np.float32(width**0.5)  # (B, heads, M, N)
    if seen is not None:
        scores[..., ~seen] = -np.inf
    mixed: Floats = softmax(scores) @ v
    return mixed.swapaxes(1, 2).reshape(batch, places, heads * width)


class Transformer:
    """A stack of residual attention blocks over (B, N, W)."""

    def __init__(
        self,
        weights: Weights,
        layers: int,
        heads: int,
        activation: Activation,
        causal: bool,
        epsilon: float = 1e-5,
    ) -> None:
        self._weights = weights
        self._layers = layers
        self._heads = heads
        self._activate = ACTIVATIONS[activation]
        self._causal = causal
        self._epsilon = epsilon

    def __call__(self, x: Floats) -> Floats:
        for layer in range(self._layers):
            block = f"transformer.resblocks.{layer}"
            x = x + self._attend(self._norm(x, f"{block}.ln_1"), f"{block}.attn")
            x = x + self._perceive(self._norm(x, f"{block}.ln_2"), f"{block}.mlp")
        return x

    def _norm(self, x: Floats, name: str) -> Floats:
        return layer_norm(x, self._weights, name, self._epsilon)

    def _attend(self, x: Floats, name: str) -> Floats:
        weights = self._weights
        qkv = times(x, weights, f"{name}.in_proj_weight") + weights[f"{name}.in_proj_bias"]
        q, k, v = (split_heads(part, self._heads) for part in np.split(qkv, 3, axis=2))
        seen = np.tri(x.shape[1], dtype=bool) if self._causal else None  # no token sees later ones
        return linear(attention(q, k, v, seen), weights, f"{name}.out_proj")

    def _perceive(self, x: Floats, name: str) -> Floats:
        hidden = self._activate(linear(x, self._weights, f"{name}.c_fc"))
        return linear(hidden, self._weights, f"{name}.c_proj")
