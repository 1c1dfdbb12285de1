"""CoCa's text tower (Yu et al. 2022) as OpenCLIP computes it: leaves to root.

A class token follows the last place of the context, and is the output. Places of padding are hidden
from it, but for the first one, as OpenCLIP's mask is off by one; its published weights need that.
"""

import torch
from torch import Tensor, nn

from clipmodel.config import CocaTextConfig
from clipmodel.towers.initial import draw, drawn
from clipmodel.towers.transformer import LayerNorm, ResidualAttentionBlock, Transformer

PADDING = 0  # token id


class CocaText(nn.Module):
    """Token ids -> embedding, not normalised."""

    def __init__(self, config: CocaTextConfig, embed_dim: int) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.cls_emb = drawn(width, std=0.01)
        self.positional_embedding = drawn(config.context_length + 1, width, std=0.01)
        self.transformer = Transformer(
            width,
            config.layers,
            config.heads,
            mlp_width=config.mlp_width,
            activation=config.activation,
        )
        self.ln_final = LayerNorm(width)
        self.text_projection = drawn(width, embed_dim, std=width**-0.5)
        draw(self.token_embedding.weight, 0.02)

    def forward(self, text: Tensor) -> Tensor:
        """text: (B, L) token ids, zeros after the end, L = context_length. Returns (B, D)."""
        x = self.token_embedding(text).type(self.cls_emb.dtype)  # (B, L, W)
        x = torch.cat([x, self.cls_emb.expand(len(x), 1, -1)], dim=1)  # (B, L + 1, W)
        x = x + self.positional_embedding.type(x.dtype)
        seen = seen_places(text)
        for block in self.transformer.resblocks:
            assert isinstance(block, ResidualAttentionBlock)
            x = x + self._attend(block, block.ln_1(x), seen)
            x = x + block.mlp(block.ln_2(x))
        return self.ln_final(x[:, -1]) @ self.text_projection  # type: ignore[no-any-return]

    def _attend(self, block: ResidualAttentionBlock, x: Tensor, seen: Tensor) -> Tensor:
        """Map (B, L + 1, W) to the same."""
        batch, places, width = x.shape
        attn = block.attn
        qkv = nn.functional.linear(x, attn.in_proj_weight, attn.in_proj_bias)
        split = qkv.reshape(batch, places, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4)  # each (B, heads, L + 1, W / heads)
        out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return attn.out_proj(out.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def seen_places(text: Tensor) -> Tensor:
    """Return which places each place sees: (B, 1, L + 1, L + 1), for token ids (B, L)."""
    batch, length = text.shape
    held = torch.cat([text.new_ones(batch, 1), text], dim=1) != PADDING  # (B, L + 1)
    causal = torch.ones(length + 1, length + 1, dtype=torch.bool, device=text.device).tril()
    return (causal & held[:, None])[:, None]
