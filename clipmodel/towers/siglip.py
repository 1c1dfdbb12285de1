"""SigLIP's image tower (Zhai et al. 2023; Tschannen et al. 2025): leaves to root.

A vision transformer without a class token. Its places are joined by an attention pool, the probe of
which is learnt. SigLIP's text tower is the one in model.py: it sees all places, padding too, and
the last one is its output.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from clipmodel.config import SiglipVisionConfig
from clipmodel.towers.initial import draw, drawn
from clipmodel.towers.transformer import LayerNorm, Transformer, activated

EPSILON = 1e-6  # of all norms


class ProbeAttention(nn.Module):
    """Multi-head attention of one query with all places, with nn.MultiheadAttention's names."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = drawn(3 * width, width, std=width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, query: Tensor, x: Tensor) -> Tensor:
        """query: (W,). x: (B, N, W). Returns (B, W)."""
        batch, places, width = x.shape
        weights, biases = self.in_proj_weight, self.in_proj_bias
        q = nn.functional.linear(query, weights[:width], biases[:width])
        kv = nn.functional.linear(x, weights[width:], biases[width:])  # (B, N, 2W)
        split = kv.reshape(batch, places, 2, self.heads, width // self.heads)
        k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, N, W / heads)
        q = q.reshape(1, self.heads, 1, -1).expand(batch, -1, -1, -1)  # (B, heads, 1, W / heads)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out_proj(seen.flatten(1))  # type: ignore[no-any-return]


class AttentionPool(nn.Module):
    """Attention of a learnt probe, and a two-layer perceptron added to it."""

    def __init__(self, config: SiglipVisionConfig) -> None:
        super().__init__()
        width = config.width
        self.probe = drawn(width, std=width**-0.5)
        self.attn = ProbeAttention(width, config.heads)
        self.ln = LayerNorm(width, EPSILON)
        layers: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(width, config.mlp_width)),
            ("gelu", activated(config.activation)),
            ("c_proj", nn.Linear(config.mlp_width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))
        for part in self.modules():
            if isinstance(part, nn.Linear):
                draw(part.weight, width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, N, W). Returns (B, W)."""
        pooled = self.attn(self.probe, x)
        return pooled + self.mlp(self.ln(pooled))  # type: ignore[no-any-return]


class SiglipVisionTransformer(nn.Module):
    """Pixels -> embedding, not normalised."""

    def __init__(self, config: SiglipVisionConfig, embed_dim: int) -> None:
        super().__init__()
        config.check(embed_dim)
        self.input_resolution = config.image_size
        width, patch = config.width, config.patch_size
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch)
        self.positional_embedding = drawn(config.places, width, std=width**-0.5)
        self.transformer = Transformer(
            width,
            config.layers,
            config.heads,
            mlp_width=config.mlp_width,
            activation=config.activation,
            epsilon=EPSILON,
        )
        self.ln_post = LayerNorm(width, EPSILON)
        self.pool = AttentionPool(config)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) normalised pixels. Returns (B, D)."""
        x = self.conv1(x.to(self.conv1.weight.dtype))  # (B, 3, H, W) -> (B, W, H / P, W / P)
        x = x.flatten(2).transpose(1, 2) + self.positional_embedding.to(x.dtype)  # (B, N, W)
        x = self.transformer(x.transpose(0, 1)).transpose(0, 1)  # (N, B, W) inside
        return self.pool(self.ln_post(x))  # type: ignore[no-any-return]
