"""The encoder of T5 1.1 (Raffel et al. 2020), with the mean over all tokens: leaves to root.

mT5's is of this kind. No layer has a bias, norms subtract no mean, attention is not scaled, and the
distances between tokens take the place of positions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import T5Config
from clipmodel.numpy_backend.t5 import EPSILON, buckets_of_distances
from clipmodel.towers.bert import mean
from clipmodel.towers.initial import draw, drawn
from clipmodel.towers.precision import dtype_of


class RMSNorm(nn.Module):
    """Root mean square layer normalisation (Zhang and Sennrich 2019), in float32."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), EPSILON)


class Attention(nn.Module):
    """Multi-head self-attention of each token with all tokens of its text."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        inside = config.heads * config.head_width
        self.heads = config.heads
        self.in_proj = nn.Linear(config.width, 3 * inside, bias=False)
        self.out_proj = nn.Linear(inside, config.width, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: (B, L, W). bias: (B, heads, L, L), of the logits. Returns (B, L, W)."""
        batch, length, _ = x.shape
        split = self.in_proj(x).reshape(batch, length, 3, self.heads, -1)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, L, I / heads)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype), scale=1.0)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class GatedMLP(nn.Module):
    """A two-layer perceptron whose hidden layer is multiplied by a gate (Shazeer 2020)."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.c_gate = nn.Linear(width, mlp_width, bias=False)
        self.c_fc = nn.Linear(width, mlp_width, bias=False)
        self.c_proj = nn.Linear(mlp_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.gelu(self.c_gate(x), approximate="tanh")
        return self.c_proj(gate * self.c_fc(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and a gated perceptron, each normalised first and added to its input.

    The sums are float32: in float16 those of mT5 overflow.
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.ln_1 = RMSNorm(config.width)
        self.attn = Attention(config)
        self.ln_2 = RMSNorm(config.width)
        self.mlp = GatedMLP(config.width, config.mlp_width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x: (B, L, W) float32. bias: as for Attention. Returns (B, L, W) float32."""
        dtype = self.attn.in_proj.weight.dtype
        x = x + self.attn(self.ln_1(x).to(dtype), bias).float()
        return x + self.mlp(self.ln_2(x).to(dtype)).float()  # type: ignore[no-any-return]


class T5(nn.Module):
    """Token ids -> embedding, not normalised."""

    def __init__(self, config: T5Config, embed_dim: int) -> None:
        super().__init__()
        config.check(embed_dim)
        width, hidden = config.width, config.hidden or config.width
        self.buckets = config.buckets
        self.padding = 0
        self.word_embedding = nn.Embedding(config.vocab_size, width)
        self.relative_bias = nn.Embedding(config.buckets, config.heads)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_final = RMSNorm(width)
        self.text_hidden = drawn(width, hidden, std=width**-0.5) if config.hidden else None
        projects = config.projects
        self.text_projection = drawn(hidden, embed_dim, std=hidden**-0.5) if projects else None
        for part in self.modules():
            if isinstance(part, nn.Linear | nn.Embedding):
                draw(part.weight, 0.02)

    def forward(self, text: Tensor) -> Tensor:
        """text: (B, L) token ids, padded after the end. Returns (B, D)."""
        held = text != self.padding  # (B, L)
        buckets = torch.from_numpy(buckets_of_distances(text.shape[1], self.buckets))
        bias = self.relative_bias(buckets.to(text.device)).permute(2, 0, 1).float()  # (heads, L, L)
        bias = bias.masked_fill(~held[:, None, None], -torch.inf)  # (B, heads, L, L)
        x = self.word_embedding(text).float()  # (B, L, W)
        for block in self.blocks:
            x = block(x, bias)
        x = mean(self.ln_final(x), held).to(dtype_of(self.blocks))  # (B, W)
        x = x if self.text_hidden is None else F.gelu(x @ self.text_hidden)  # (B, H)
        projected: Tensor = x if self.text_projection is None else x @ self.text_projection
        return projected
