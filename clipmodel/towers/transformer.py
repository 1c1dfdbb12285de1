"""The transformer of CLIP's towers: leaves to root.

Names, arguments and layout are those of OpenAI's package; what other towers need in addition is
given by keyword.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

from clipmodel.config import Activation
from clipmodel.towers.initial import draw


class QuickGELU(nn.Module):
    """The sigmoid approximation of GELU that OpenAI trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def activated(activation: Activation) -> nn.Module:
    """Return the module that computes an activation."""
    if activation == "quick_gelu":
        return QuickGELU()
    return nn.GELU(approximate="tanh" if activation == "gelu_tanh" else "none")


class LayerNorm(nn.LayerNorm):
    """Layer normalisation in float32, even where the model is float16."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).type(x.dtype)


class ResidualAttentionBlock(nn.Module):
    """Attention and a two-layer perceptron, each normalised first and added to its input.

    Takes and returns (N, B, W): places come first. In the other order nothing would fail, but the
    vectors would be wrong. attn_mask: (L, L) floats, added to the logits of the attention; an input
    of fewer places uses its first rows and columns.
    """

    def __init__(
        self,
        d_model: int,
        n_head: int,
        attn_mask: Tensor | None = None,
        *,
        mlp_width: int | None = None,
        activation: Activation = "quick_gelu",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        mlp_width = mlp_width or 4 * d_model
        self.attn = nn.MultiheadAttention(d_model, n_head)
        self.ln_1 = LayerNorm(d_model, epsilon)
        layers: list[tuple[str, nn.Module]] = [
            ("c_fc", nn.Linear(d_model, mlp_width)),
            ("gelu", activated(activation)),
            ("c_proj", nn.Linear(mlp_width, d_model)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ln_2 = LayerNorm(d_model, epsilon)
        self.attn_mask = attn_mask

    def attention(self, x: Tensor) -> Tensor:
        """Map (N, B, W) to the same."""
        mask = self.attn_mask
        if mask is not None:
            self.attn_mask = mask.to(x.device, x.dtype)  # copied once, not by every call
            mask = self.attn_mask[: len(x), : len(x)]
        out: Tensor = self.attn(x, x, x, need_weights=False, attn_mask=mask)[0]
        return out

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A stack of blocks over (N, B, W)."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        attn_mask: Tensor | None = None,
        *,
        mlp_width: int | None = None,
        activation: Activation = "quick_gelu",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.width, self.layers = width, layers
        self.resblocks = nn.Sequential(
            *(
                ResidualAttentionBlock(
                    width,
                    heads,
                    attn_mask,
                    mlp_width=mlp_width,
                    activation=activation,
                    epsilon=epsilon,
                )
                for _ in range(layers)
            )
        )
        self.initialize_parameters()

    def initialize_parameters(self) -> None:
        """Draw the matrices anew, with the standard deviations of OpenAI's code."""
        residual = self.width**-0.5 * (2 * self.layers) ** -0.5  # outputs shrink with depth
        for block in self.resblocks:
            assert isinstance(block, ResidualAttentionBlock)
            first, _, last = block.mlp
            assert isinstance(first, nn.Linear) and isinstance(last, nn.Linear)
            draw(block.attn.in_proj_weight, self.width**-0.5)
            draw(block.attn.out_proj.weight, residual)
            draw(first.weight, (2 * self.width) ** -0.5)
            draw(last.weight, residual)

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)  # type: ignore[no-any-return]
