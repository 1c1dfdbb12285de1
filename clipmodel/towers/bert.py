"""BERT (Devlin et al. 2018), with the mean over all tokens as embedding of a text: leaves to root.

Sentence encoders such as all-MiniLM-L6-v2 are of this kind, RoBERTa and XLM-RoBERTa; NLLB's encoder
is, with its norms first. A text is a single segment, whose embedding is included in those of the
positions.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import BertConfig
from clipmodel.towers.initial import draw, drawn
from clipmodel.towers.precision import dtype_of
from clipmodel.towers.transformer import LayerNorm


class Attention(nn.Module):
    """Multi-head self-attention of each token with all tokens of its text."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, W). mask: (B, 1, 1, L), true for tokens of the text. Returns (B, L, W)."""
        batch, length, width = x.shape
        split = self.in_proj(x).reshape(batch, length, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, L, W / heads)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to its input; the norms first or last."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, mlp_width = config.width, config.mlp_width
        self.norm_first = config.norm_first
        self.attn = Attention(width, config.heads)
        self.ln_1 = LayerNorm(width, config.epsilon)
        layers: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(width, mlp_width)),
            ("gelu", nn.GELU() if config.activation == "gelu" else nn.ReLU()),
            ("c_proj", nn.Linear(mlp_width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ln_2 = LayerNorm(width, config.epsilon)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x: (B, L, W). mask: as for Attention. Returns (B, L, W)."""
        if self.norm_first:
            x = x + self.attn(self.ln_1(x), mask)
            return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return]
        x = self.ln_1(x + self.attn(x, mask))
        return self.ln_2(x + self.mlp(x))  # type: ignore[no-any-return]


class Bert(nn.Module):
    """Token ids -> embedding, not normalised."""

    def __init__(self, config: BertConfig, embed_dim: int) -> None:
        super().__init__()
        config.check(embed_dim)
        width, self.padding, self.pool = config.width, config.padding, config.pool
        self.word_embedding = nn.Embedding(config.vocab_size, width)
        self.positional_embedding = drawn(config.context_length, width, std=0.02)
        norm = LayerNorm(width, config.epsilon)
        self.ln_embedding = None if config.norm_first else norm
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_final = norm if config.norm_first else None
        hidden = config.hidden or width
        self.text_hidden = drawn(width, hidden, std=width**-0.5) if config.hidden else None
        projects = config.projects
        self.text_projection = drawn(hidden, embed_dim, std=hidden**-0.5) if projects else None
        self.text_bias = nn.Parameter(torch.zeros(embed_dim)) if config.biased else None
        draw(self.word_embedding.weight, 0.02)
        for part in self.blocks.modules():
            if isinstance(part, nn.Linear):
                draw(part.weight, 0.02)

    def forward(self, text: Tensor) -> Tensor:
        """text: (B, L) token ids, padded after the end, L ≤ context_length. Returns (B, D)."""
        held = text != self.padding  # (B, L)
        x = self.word_embedding(text) + self.positional_embedding[: text.shape[1]]  # (B, L, W)
        x = (x if self.ln_embedding is None else self.ln_embedding(x)).to(dtype_of(self.blocks))
        mask = held[:, None, None]  # (B, 1, 1, L)
        for block in self.blocks:
            x = block(x, mask)
        x = x if self.ln_final is None else self.ln_final(x)
        x = x[:, 0] if self.pool == "first" else mean(x, held)  # (B, W)
        x = x if self.text_hidden is None else F.gelu(x @ self.text_hidden)  # (B, H)
        x = x if self.text_projection is None else x @ self.text_projection  # (B, D)
        return x if self.text_bias is None else x + self.text_bias


def mean(x: Tensor, held: Tensor) -> Tensor:
    """Return the mean of x (B, L, W) over the tokens of each text, held (B, L): (B, W)."""
    weights = held / held.sum(1, keepdim=True)  # (B, L)
    return (weights.to(x.dtype)[:, None] @ x)[:, 0]  # (B, 1, L) @ (B, L, W) -> (B, W)
