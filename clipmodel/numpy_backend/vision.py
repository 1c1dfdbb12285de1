"""The image towers of model.py and resnet.py in NumPy; pixels are (B, S, S, 3), normalised."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from clipmodel.config import ResNetConfig, SiglipVisionConfig, VisionConfig
from clipmodel.numpy_backend.transformer import (
    ACTIVATIONS,
    Transformer,
    attention,
    layer_norm,
    linear,
    product,
    split_heads,
)
from clipmodel.numpy_backend.weights import Floats, Weights

EPSILON = 1e-6  # of the norms of SigLIP's tower


class VisionTransformer:
    """Pixels -> embedding, not normalised."""

    def __init__(self, weights: Weights, config: VisionConfig) -> None:
        self._weights = weights
        self._transformer = Transformer(
            weights, config.layers, config.heads, config.activation, causal=False
        )

    def __call__(self, x: Floats) -> Floats:
        """Return (B, D) for pixels (B, S, S, 3)."""
        weights = self._weights
        x = patches(x, weights["conv1.weight"])  # (B, N, W)
        first = np.broadcast_to(weights["class_embedding"], (len(x), 1, x.shape[2]))
        x = np.concatenate([first, x], axis=1) + weights["positional_embedding"]  # (B, 1 + N, W)
        x = self._transformer(layer_norm(x, weights, "ln_pre"))
        return product(layer_norm(x[:, 0], weights, "ln_post"), weights["proj"])


def patches(x: Floats, kernel: Floats) -> Floats:
    """Convolve (B, S, S, 3) with a kernel (W, 3, P, P) for each patch: (B, N, W)."""
    patch = kernel.shape[2]
    side = x.shape[1] // patch  # patches
    x = x[:, : side * patch, : side * patch].reshape(len(x), side, patch, side, patch, 3)
    x = x.transpose(0, 1, 3, 5, 2, 4).reshape(len(x), side * side, -1)  # as the kernel lies
    return product(x, kernel.reshape(len(kernel), -1).T)


class SiglipVisionTransformer:
    """Pixels -> embedding, not normalised."""

    def __init__(self, weights: Weights, config: SiglipVisionConfig) -> None:
        self._weights = weights
        self._config = config
        self._transformer = Transformer(
            weights, config.layers, config.heads, config.activation, causal=False, epsilon=EPSILON
        )

    def __call__(self, x: Floats) -> Floats:
        """Return (B, D) for pixels (B, S, S, 3)."""
        weights = self._weights
        x = patches(x, weights["conv1.weight"]) + weights["conv1.bias"]  # (B, N, W)
        x = self._transformer(x + weights["positional_embedding"])
        return self._pool(layer_norm(x, weights, "ln_post", EPSILON))

    def _pool(self, x: Floats) -> Floats:
        """Pool by the attention of the probe: (B, N, W) -> (B, W)."""
        weights, heads, width = self._weights, self._config.heads, self._config.width
        joined, biases = weights["pool.attn.in_proj_weight"], weights["pool.attn.in_proj_bias"]
        probe = np.broadcast_to(weights["pool.probe"], (len(x), 1, width))
        q, k, v = (
            split_heads(product(seen, joined[part].T) + biases[part], heads)
            for seen, part in zip((probe, x, x), _thirds(width), strict=True)
        )
        pooled = linear(attention(q, k, v)[:, 0], weights, "pool.attn.out_proj")  # (B, W)
        hidden = linear(layer_norm(pooled, weights, "pool.ln", EPSILON), weights, "pool.mlp.c_fc")
        return pooled + linear(
            ACTIVATIONS[self._config.activation](hidden), weights, "pool.mlp.c_proj"
        )


def _thirds(width: int) -> tuple[slice, slice, slice]:
    return slice(width), slice(width, 2 * width), slice(2 * width, 3 * width)


class ModifiedResNet:
    """Pixels -> embedding, not normalised. Each batch norm is folded into its convolution."""

    def __init__(self, weights: Weights, config: ResNetConfig) -> None:
        self._weights = weights
        self._blocks = config.layers
        self._heads = config.heads
        self._folded: dict[str, tuple[Floats, Floats]] = {}  # by the name of the convolution

    def __call__(self, x: Floats) -> Floats:
        """Return (B, D) for pixels (B, S, S, 3)."""
        x = relu(self._convolve(x, "conv1", "bn1", stride=2))  # (B, S / 2, S / 2, width / 2)
        x = relu(self._convolve(x, "conv2", "bn2"))
        x = relu(self._convolve(x, "conv3", "bn3"))
        x = average(x, 2)  # (B, S / 4, S / 4, width)
        for stage, blocks in enumerate(self._blocks, start=1):
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                x = self._bottleneck(x, f"layer{stage}.{block}", stride, is_first=block == 0)
        return self._pool(x)  # from (B, S / 32, S / 32, 32 width)

    def _bottleneck(self, x: Floats, name: str, stride: int, is_first: bool) -> Floats:
        out = relu(self._convolve(x, f"{name}.conv1", f"{name}.bn1"))
        out = relu(self._convolve(out, f"{name}.conv2", f"{name}.bn2"))
        out = self._convolve(average(out, stride), f"{name}.conv3", f"{name}.bn3")
        if is_first:
            down = f"{name}.downsample"
            x = self._convolve(average(x, stride), f"{down}.0", f"{down}.1")
        return relu(out + x)

    def _convolve(self, x: Floats, name: str, norm: str, stride: int = 1) -> Floats:
        """Convolve (1×1 or 3×3) and apply the batch norm: (B, H, W, I) -> (B, H, W, O) / stride."""
        if name not in self._folded:
            self._folded[name] = self._fold(f"{name}.weight", norm)
        kernel, bias = self._folded[name]
        if len(kernel) > x.shape[3]:  # 3×3, as one product over all windows
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            windows = sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
            windows = windows.transpose(0, 1, 2, 4, 5, 3)  # (B, H, W, 3, 3, I)
            x = windows.reshape(*windows.shape[:3], -1)
        return product(x, kernel) + bias

    def _fold(self, name: str, norm: str) -> tuple[Floats, Floats]:
        """Return the convolution (O, I, k, k), scaled, as (k k I, O), and its bias (O,)."""
        weights = self._weights
        deviation = np.sqrt(weights[f"{norm}.running_var"] + np.float32(1e-5))
        scale = weights[f"{norm}.weight"] / deviation
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
        kernel = weights[name].transpose(2, 3, 1, 0) * scale  # (k, k, I, O)
        return kernel.reshape(-1, len(scale)), bias

    def _pool(self, x: Floats) -> Floats:
        """Pool by attention: (B, H, W, C) -> (B, D)."""
        weights = self._weights
        x = x.reshape(len(x), -1, x.shape[3])  # (B, N, C)
        x = np.concatenate([x.mean(axis=1, keepdims=True), x], axis=1)  # (B, 1 + N, C)
        x = x + weights["attnpool.positional_embedding"]
        q, k, v = (
            split_heads(linear(seen, weights, f"attnpool.{name}_proj"), self._heads)
            for name, seen in (("q", x[:, :1]), ("k", x), ("v", x))
        )
        return linear(attention(q, k, v)[:, 0], weights, "attnpool.c_proj")


def relu(x: Floats) -> Floats:
    return np.maximum(x, np.float32(0))


def average(x: Floats, side: int) -> Floats:
    """Average squares: (B, H, W, C) -> (B, H / side, W / side, C)."""
    if side == 1:
        return x
    batch, height, width, channels = x.shape
    squares = x.reshape(batch, height // side, side, width // side, side, channels)
    means: Floats = squares.mean(axis=(2, 4))
    return means
