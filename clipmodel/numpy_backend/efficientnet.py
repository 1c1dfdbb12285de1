"""The image tower of towers/efficientnet.py in NumPy; pixels are (B, S, S, 3), normalised.

A 1×1 convolution is a matrix product. A depthwise one is a sum of shifted pictures, each multiplied
by one number per channel.
"""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clipmodel.config import EfficientNetConfig, Stage
from clipmodel.numpy_backend.transformer import gelu, layer_norm, linear, product, softmax
from clipmodel.numpy_backend.weights import Floats, Weights

EPSILON = np.float32(1e-3)  # of batch norms


class EfficientNet:
    """Pixels -> embedding, not normalised. Each batch norm is folded into its convolution."""

    def __init__(self, weights: Weights, config: EfficientNetConfig) -> None:
        self._weights = weights
        self._config = config
        self._folded: dict[str, tuple[Floats, Floats]] = {}  # by the name of the convolution

    def __call__(self, x: Floats) -> Floats:
        """Return (B, D) for pixels (B, S, S, 3)."""
        x = relu6(self._stem(x))  # (B, S / 2, S / 2, stem)
        averages = list[Floats]()
        for number, (stage, is_first, is_last) in enumerate(_blocks(self._config.stages)):
            x = self._block(x, f"blocks.{number}", stage, is_first)
            if self._config.all_stages and is_last:
                averages.append(x.mean(axis=(1, 2)))
        averages.append(relu6(self._pointwise(x, "last")).mean(axis=(1, 2)))
        return self._embed(np.concatenate(averages, axis=1))

    def _embed(self, features: Floats) -> Floats:
        """Map averages (B, F) to (B, D)."""
        x, weights = features, self._weights
        for layer in range(len(self._config.projection)):
            hidden = gelu(linear(x, weights, f"projection.fc_{layer}"))
            x = layer_norm(hidden, weights, f"projection.ln_{layer}")
        projected = linear(x, weights, "projection.out")
        if self._config.classes:
            last = features[:, -self._config.head_width :]
            likely = softmax(linear(last, weights, "classes.score"))  # (B, classes)
            projected += product(likely, weights["classes.embedding"])
        return projected

    def _block(self, x: Floats, name: str, stage: Stage, is_first: bool) -> Floats:
        stride = stage.stride if is_first else 1
        out = relu6(self._pointwise(x, f"{name}.expand")) if stage.expansion > 1 else x
        out = relu6(self._depthwise(out, f"{name}.depthwise", stage.kernel, stride))
        out = self._pointwise(out, f"{name}.project")
        return out + x if stride == 1 and x.shape == out.shape else out

    def _pointwise(self, x: Floats, name: str) -> Floats:
        """Map (B, H, W, I) to (B, H, W, O)."""
        kernel, bias = self._fold(name)  # (1, 1, I, O)
        mapped = product(x, kernel[0, 0])
        mapped += bias
        return mapped

    def _depthwise(self, x: Floats, name: str, side: int, stride: int) -> Floats:
        """Map (B, H, W, C) to (B, H / stride, W / stride, C)."""
        kernel, bias = self._fold(name)  # (k, k, 1, C)
        padded = padded_same(x, side, stride)
        down, across = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
        total = np.empty((len(x), down, across, x.shape[3]), np.float32)
        total[:] = bias
        scratch = np.empty_like(total)
        for row in range(side):
            for column in range(side):
                shifted = padded[:, row::stride, column::stride][:, :down, :across]
                np.multiply(shifted, kernel[row, column, 0], out=scratch)
                total += scratch
        return total

    def _stem(self, x: Floats) -> Floats:
        """Map (B, S, S, 3) to (B, S / 2, S / 2, stem), as one product over all windows."""
        kernel, bias = self._fold("stem")  # (3, 3, 3, stem)
        windows = sliding_window_view(padded_same(x, 3, 2), (3, 3), axis=(1, 2))[:, ::2, ::2]
        windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (B, S / 2, S / 2, 3, 3, 3)
        return product(windows.reshape(*windows.shape[:3], -1), kernel.reshape(27, -1)) + bias

    def _fold(self, name: str) -> tuple[Floats, Floats]:
        """Return a convolution with its norm, (k, k, I, O), and its bias (O,)."""
        if name not in self._folded:
            weights, norm = self._weights, f"{name}.bn"
            scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + EPSILON)
            bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
            kernel = weights[f"{name}.conv.weight"].transpose(2, 3, 1, 0) * scale
            self._folded[name] = np.ascontiguousarray(kernel), bias
        return self._folded[name]


def _blocks(stages: tuple[Stage, ...]) -> Iterator[tuple[Stage, bool, bool]]:
    """Yield the stage of each block, and whether the block is its first and its last."""
    for stage in stages:
        for number in range(stage.blocks):
            yield stage, number == 0, number == stage.blocks - 1


def padded_same(x: Floats, side: int, stride: int) -> Floats:
    """Pad (B, H, W, C) with zeros as TensorFlow does: an odd one is below and to the right."""
    lacks = [max((-(-n // stride) - 1) * stride + side - n, 0) for n in x.shape[1:3]]
    return np.pad(x, ((0, 0), *((lack // 2, lack - lack // 2) for lack in lacks), (0, 0)))


def relu6(x: Floats) -> Floats:
    """Clip to 0..6, in place."""
    return np.clip(x, np.float32(0), np.float32(6), out=x)
