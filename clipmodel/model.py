"""CLIP (Radford et al. 2021): leaves to root, tensors only."""

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import Activation, ModelConfig, TextConfig, VisionConfig
from clipmodel.families import image_family, text_family
from clipmodel.towers.initial import draw, drawn


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


class Attention(nn.Module):
    """Multi-head self-attention with the parameter names of nn.MultiheadAttention.

    Places come first, (N, B, W), as in OpenAI's code and all copies of it: in the other order
    nothing would fail, but the vectors would be wrong.
    """

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        places, batch, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (N, B, 3W)
        split = qkv.reshape(places, batch, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 1, 3, 0, 4)  # each (B, heads, N, W / heads)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        joined = out.permute(2, 0, 1, 3).reshape(places, batch, width)
        return self.out_proj(joined)  # type: ignore[no-any-return]


class ResidualAttentionBlock(nn.Module):
    """Attention and a two-layer perceptron, each normalised first and added to its input.

    Takes and returns (N, B, W).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        mlp_width: int,
        activation: Activation,
        causal: bool,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width, epsilon)
        self.attn = Attention(width, heads, causal)
        self.ln_2 = LayerNorm(width, epsilon)
        self.mlp = nn.Sequential(
            OrderedDict(
                [
                    ("c_fc", nn.Linear(width, mlp_width)),
                    ("gelu", activated(activation)),
                    ("c_proj", nn.Linear(mlp_width, width)),
                ]
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """A stack of blocks over (N, B, W), as in OpenAI's code."""

    def __init__(
        self,
        width: int,
        layers: int,
        heads: int,
        mlp_width: int,
        activation: Activation,
        causal: bool,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(
            *(
                ResidualAttentionBlock(width, heads, mlp_width, activation, causal, epsilon)
                for _ in range(layers)
            )
        )
        self._initialise(width, layers)

    def _initialise(self, width: int, layers: int) -> None:
        # Standard deviations of OpenAI's model.py: residual outputs shrink with depth.
        residual = width**-0.5 * (2 * layers) ** -0.5
        for block in self.resblocks:
            assert isinstance(block, ResidualAttentionBlock)
            draw(block.attn.in_proj_weight, width**-0.5)
            draw(block.attn.out_proj.weight, residual)
            draw(block.mlp.c_fc.weight, (2 * width) ** -0.5)  # type: ignore[union-attr, arg-type]
            draw(block.mlp.c_proj.weight, residual)  # type: ignore[union-attr, arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.resblocks(x)  # type: ignore[no-any-return]


class VisionTransformer(nn.Module):
    """Pixels -> embedding, not normalised."""

    def __init__(self, config: VisionConfig, embed_dim: int) -> None:
        super().__init__()
        self.input_resolution = config.image_size
        width, patch = config.width, config.patch_size
        places = (config.image_size // patch) ** 2 + 1
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.class_embedding = drawn(width, std=width**-0.5)
        self.positional_embedding = drawn(places, width, std=width**-0.5)
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(
            width, config.layers, config.heads, config.mlp_width, config.activation, causal=False
        )
        self.ln_post = LayerNorm(width)
        self.proj = drawn(width, embed_dim, std=width**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) normalised pixels. Returns (B, D)."""
        x = self.conv1(x.to(self.conv1.weight.dtype))  # (B, 3, H, W) -> (B, W, H / P, W / P)
        x = x.flatten(2).transpose(1, 2)  # (B, N, W)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1)  # (B, 1 + N, W)
        x = self.ln_pre(x + self.positional_embedding).transpose(0, 1)  # (1 + N, B, W)
        x = self.transformer(x)
        return self.ln_post(x[0]) @ self.proj  # type: ignore[no-any-return]  # (B, D)


class TextTransformer(nn.Module):
    """Token ids -> embedding, not normalised."""

    def __init__(self, config: TextConfig, embed_dim: int) -> None:
        super().__init__()
        width, self.pool, self.end = config.width, config.pool, config.end
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        self.positional_embedding = drawn(config.context_length, width, std=0.01)
        self.transformer = Transformer(
            width,
            config.layers,
            config.heads,
            config.mlp_width,
            config.activation,
            config.causal,
            config.epsilon,
        )
        self.ln_final = LayerNorm(width, config.epsilon)
        projects = config.projects
        self.text_projection = drawn(width, embed_dim, std=width**-0.5) if projects else None
        self.text_bias = nn.Parameter(torch.zeros(embed_dim)) if config.biased else None
        draw(self.token_embedding.weight, 0.02)

    def forward(self, text: Tensor) -> Tensor:
        """text: (B, L) token ids, L ≤ context_length. Returns (B, D), read at one token."""
        x = self.token_embedding(text) + self.positional_embedding[: text.shape[1]]  # (B, L, W)
        x = self.transformer(x.transpose(0, 1)).transpose(0, 1)  # (L, B, W) inside
        if self.pool == "last":
            x = x[:, -1]  # (B, L, W) -> (B, W)
        else:  # OpenAI's end-of-text token has the highest id
            is_end = (text == self.end).int() if self.pool == "end" else text
            x = x[torch.arange(len(x), device=x.device), is_end.argmax(dim=1)]
        projected: Tensor = self.ln_final(x)
        if self.text_projection is not None:
            projected = projected @ self.text_projection  # (B, D)
        return projected if self.text_bias is None else projected + self.text_bias


class CLIP(nn.Module):
    """An image tower, a text tower, and the scale of their logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.context_length = config.text.context_length
        self.vocab_size = config.text.vocab_size
        self.visual = image_family(config.vision).module(config.vision, config.embed_dim)
        self.text = text_family(config.text).module(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.logit_bias = nn.Parameter(torch.zeros(())) if config.logit_bias else None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the image tower's weights, except its norms."""
        return next(weight.dtype for weight in self.visual.parameters() if weight.ndim > 1)

    def encode_image(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) normalised pixels. Returns (B, D), not normalised, as OpenAI does."""
        return self.visual(image)  # type: ignore[no-any-return]

    def encode_text(self, text: Tensor) -> Tensor:
        """text: (B, L) token ids. Returns (B, D), not normalised, as OpenAI does."""
        return self.text(text)  # type: ignore[no-any-return]

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits_per_image (B, T) and logits_per_text (T, B): scaled cosines.

        SigLIP adds a bias: the sigmoid of a logit is the probability that the two belong together.
        """
        images = F.normalize(self.encode_image(image), dim=-1)
        texts = F.normalize(self.encode_text(text), dim=-1)
        logits = self.logit_scale.exp() * images @ texts.T
        if self.logit_bias is not None:
            logits = logits + self.logit_bias
        return logits, logits.T


def in_dtype(module: nn.Module, dtype: torch.dtype) -> None:
    """Convert the weights in place, except the norms, and the scale and bias of the logits."""
    for part in module.modules():
        if isinstance(part, LayerNorm | nn.BatchNorm2d):  # which take any dtype
            continue
        for name, parameter in part.named_parameters(recurse=False):
            if name not in ("logit_scale", "logit_bias"):
                parameter.data = parameter.data.to(dtype)
