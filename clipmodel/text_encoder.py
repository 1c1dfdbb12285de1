"""The text tower in NumPy, on memory-mapped weights: a search does not wait for torch.

Attention is causal, so what follows the end-of-text token cannot change the answer and is never
computed: a short query is a few tokens, not 77.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError
from clipmodel.model_folder import ModelFolder, read_tensors
from clipmodel.tokenizer import token_ids

Floats = NDArray[np.float32]

MOST_TOKENS = 4096  # computed at a time, which bounds the memory that many texts take


class TextEncoder:
    """Texts -> unit vectors. Any number of threads may encode at once."""

    def __init__(self, folder: ModelFolder) -> None:
        """Raises CheckpointError where the weights are not those of the folder's config."""
        self.config = folder.config.text
        self._weights = {
            name.removeprefix("text."): tensor
            for name, tensor in read_tensors(folder.text_file).items()
        }
        self._embedding = self._raw("token_embedding.weight")
        if self._embedding.shape != (self.config.vocab_size, self.config.width):
            raise CheckpointError(f"{folder.text_file} has weights of another model's shape")

    def encode(self, texts: Sequence[str]) -> Floats:
        """(B, D), unit L2 norm. A text longer than the context loses its end."""
        ids = token_ids(texts, self.config.context_length, truncate=True)
        lengths = (ids != 0).sum(axis=1)
        projection = self._weight("text_projection")
        vectors = np.empty((len(ids), projection.shape[1]), np.float32)
        for rows in _alike(lengths):
            last = self._transform(ids[rows, : lengths[rows[0]]])  # (b, W)
            vectors[rows] = last @ projection  # (b, W) @ (W, D)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _transform(self, ids: NDArray[np.int64]) -> Floats:
        """(b, L) ids, all of one length -> (b, W) what the tower makes of each at its end."""
        x = self._embedding[ids].astype(np.float32)  # (b, L, W): of the table only these rows
        x += self._weight("positional_embedding")[: ids.shape[1]]
        for layer in range(self.config.layers):
            block = f"transformer.resblocks.{layer}"
            x += self._attend(self._norm(x, f"{block}.ln_1"), f"{block}.attn")
            x += self._perceive(self._norm(x, f"{block}.ln_2"), f"{block}.mlp")
        return self._norm(x[:, -1], "ln_final")

    def _attend(self, x: Floats, name: str) -> Floats:
        batch, length, width = x.shape
        heads = self.config.heads
        qkv = x @ self._weight(f"{name}.in_proj_weight").T + self._weight(f"{name}.in_proj_bias")
        # (b, L, 3W) -> three of (b, heads, L, W / heads)
        q, k, v = qkv.reshape(batch, length, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(2, 3) / np.float32((width // heads) ** 0.5)  # (b, heads, L, L)
        scores[..., ~np.tri(length, dtype=bool)] = -np.inf  # no token sees a later one
        scores = np.exp(scores - scores.max(axis=3, keepdims=True))
        seen = scores / scores.sum(axis=3, keepdims=True) @ v
        joined = seen.swapaxes(1, 2).reshape(batch, length, width)
        return self._linear(joined, f"{name}.out_proj")

    def _perceive(self, x: Floats, name: str) -> Floats:
        activate = quick_gelu if self.config.activation == "quick_gelu" else gelu
        return self._linear(activate(self._linear(x, f"{name}.c_fc")), f"{name}.c_proj")

    def _linear(self, x: Floats, name: str) -> Floats:
        linear: Floats = x @ self._weight(f"{name}.weight").T + self._weight(f"{name}.bias")
        return linear

    def _norm(self, x: Floats, name: str) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled: Floats = centred / np.sqrt(variance + np.float32(1e-5))
        return scaled * self._weight(f"{name}.weight") + self._weight(f"{name}.bias")

    def _weight(self, name: str) -> Floats:
        """As float32: mapped where the file has it so, else converted once, when first used."""
        weight = self._raw(name)
        if weight.dtype != np.float32:
            weight = self._weights[name] = weight.astype(np.float32)
        return weight

    def _raw(self, name: str) -> NDArray[Any]:
        try:
            return self._weights[name]
        except KeyError as error:
            raise CheckpointError(f"the text tower has no weights text.{name}") from error


def quick_gelu(x: Floats) -> Floats:
    """x · sigmoid(1.702 x), OpenAI's approximation of GELU."""
    with np.errstate(over="ignore"):  # far below zero the exponential is infinite, and x / inf 0
        activated: Floats = x / (1 + np.exp(np.float32(-1.702) * x))
    return activated


def gelu(x: Floats) -> Floats:
    """x · Φ(x), with erf as in Abramowitz and Stegun 7.1.26, off by at most 1.5e-7."""
    scaled = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    erf = np.sign(x) * (1 - series * np.exp(-scaled * scaled))
    activated: Floats = (0.5 * x * (1 + erf)).astype(np.float32)
    return activated


def _alike(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows of one length each, no more at a time than MOST_TOKENS have room for."""
    for length in sorted({*lengths.tolist()}):  # np.unique imports numpy.ma: 20 ms
        rows = np.flatnonzero(lengths == length)
        most = max(1, MOST_TOKENS // length)
        for start in range(0, len(rows), most):
            yield rows[start : start + most]
