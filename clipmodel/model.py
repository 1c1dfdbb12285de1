"""CLIP (Radford et al. 2021): leaves to root, tensors only.

Names, arguments, parameters and layouts are those of OpenAI's package (docs/clip.md), because other
people's programs copy its forward passes, exchange its parts and read its weights. What other
models need in addition is given by keyword, or by a config. The leaves are in towers/transformer.py
and towers/resnet.py.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import (
    Activation,
    ModelConfig,
    ResNetConfig,
    TextConfig,
    TextTowerConfig,
    VisionConfig,
)
from clipmodel.families import image_family, text_family
from clipmodel.hub.registry import OPENAI_ACTIVATION, OPENAI_HEAD_WIDTH, OPENAI_MEAN, OPENAI_STD
from clipmodel.towers.initial import draw, drawn
from clipmodel.towers.precision import convert_weights, dtype_of, in_dtype
from clipmodel.towers.resnet import AttentionPool2d, Bottleneck, ModifiedResNet
from clipmodel.towers.shapes import OPENAI_NUMBERS
from clipmodel.towers.transformer import (
    LayerNorm,
    QuickGELU,
    ResidualAttentionBlock,
    Transformer,
)

__all__ = [
    "CLIP",
    "AttentionPool2d",
    "Bottleneck",
    "LayerNorm",
    "ModifiedResNet",
    "QuickGELU",
    "ResidualAttentionBlock",
    "Transformer",
    "VisionTransformer",
    "build_model",
    "convert_weights",
    "in_dtype",
]


class VisionTransformer(nn.Module):
    """Pixels -> embedding, not normalised. Without `proj`, D is the width."""

    def __init__(
        self,
        input_resolution: int,
        patch_size: int,
        width: int,
        layers: int,
        heads: int,
        output_dim: int,
        *,
        mlp_width: int | None = None,
        activation: Activation = OPENAI_ACTIVATION,
    ) -> None:
        super().__init__()
        self.input_resolution, self.output_dim = input_resolution, output_dim
        places = (input_resolution // patch_size) ** 2 + 1
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch_size, stride=patch_size, bias=False)
        self.class_embedding = drawn(width, std=width**-0.5)
        self.positional_embedding = drawn(places, width, std=width**-0.5)
        self.ln_pre = LayerNorm(width)
        self.transformer = Transformer(
            width, layers, heads, mlp_width=mlp_width, activation=activation
        )
        self.ln_post = LayerNorm(width)
        self.proj: nn.Parameter | None = drawn(width, output_dim, std=width**-0.5)

    @classmethod
    def of(cls, config: VisionConfig, embed_dim: int) -> Self:
        """Return the tower that a config describes."""
        return cls(
            config.image_size,
            config.patch_size,
            config.width,
            config.layers,
            config.heads,
            embed_dim,
            mlp_width=config.mlp_width,
            activation=config.activation,
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) normalised pixels. Returns (B, D)."""
        x = self.conv1(x.to(self.conv1.weight.dtype))  # (B, 3, H, W) -> (B, W, H / P, W / P)
        x = x.flatten(2).transpose(1, 2)  # (B, N, W)
        first = self.class_embedding.to(x.dtype).expand(len(x), 1, -1)
        x = torch.cat([first, x], dim=1) + self.positional_embedding.to(x.dtype)  # (B, 1 + N, W)
        x = self.ln_pre(x).transpose(0, 1)  # (1 + N, B, W)
        x = self.ln_post(self.transformer(x)[0])  # (B, W)
        return x if self.proj is None else x @ self.proj  # (B, D)


class CLIP(nn.Module):
    """An image tower, a text tower, and the scale of their logits.

    The parts of CLIP's own text tower are those of the model itself, as in OpenAI's package; a text
    tower of another family is in `text`.
    """

    text: nn.Module

    def __init__(
        self,
        embed_dim: int,
        image_resolution: int,
        vision_layers: int | tuple[int, int, int, int],
        vision_width: int,
        vision_patch_size: int | None,
        context_length: int,
        vocab_size: int,
        transformer_width: int,
        transformer_heads: int,
        transformer_layers: int,
    ) -> None:
        """Make a model of OpenAI's kind; `CLIP.of(config)` makes one of any kind.

        vision_layers: four numbers for a ResNet, which has no vision_patch_size.
        """
        super().__init__()
        vision: VisionConfig | ResNetConfig
        if isinstance(vision_layers, int):
            assert vision_patch_size
            heads, mlp_width = vision_width // OPENAI_HEAD_WIDTH, 4 * vision_width
            sizes = (image_resolution, vision_patch_size, vision_width, vision_layers)
            vision = VisionConfig(*sizes, heads, mlp_width, OPENAI_ACTIVATION)
        else:
            heads = 32 * vision_width // OPENAI_HEAD_WIDTH
            first, second, third, last = vision_layers
            stages = (first, second, third, last)
            vision = ResNetConfig(image_resolution, vision_width, stages, heads)
        text = TextConfig(
            context_length,
            vocab_size,
            transformer_width,
            transformer_layers,
            transformer_heads,
            4 * transformer_width,
            OPENAI_ACTIVATION,
        )
        self._build(ModelConfig(embed_dim, vision, text, OPENAI_MEAN, OPENAI_STD))

    @classmethod
    def of(cls, config: ModelConfig) -> Self:
        """Return the model that a config describes, its weights drawn anew."""
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._build(config)
        return model

    def _build(self, config: ModelConfig) -> None:
        self.config = config
        self.context_length = config.text.context_length
        self.vocab_size = config.text.vocab_size
        self.visual = image_family(config.vision).module(config.vision, config.embed_dim)
        module = text_family(config.text).module
        if module is None:
            self._build_text(config.text, config.embed_dim)
        else:
            self.text = module(config.text, config.embed_dim)
        self.logit_scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.logit_bias = nn.Parameter(torch.zeros(())) if config.logit_bias else None

    def _build_text(self, config: TextTowerConfig, embed_dim: int) -> None:
        """Make the parts of CLIP's own text tower."""
        assert isinstance(config, TextConfig)
        width = config.width
        self.transformer = Transformer(
            width,
            config.layers,
            config.heads,
            self.build_attention_mask() if config.causal else None,
            mlp_width=config.mlp_width,
            activation=config.activation,
            epsilon=config.epsilon,
        )
        self.token_embedding = nn.Embedding(config.vocab_size, width)
        draw(self.token_embedding.weight, 0.02)
        self.positional_embedding = drawn(config.context_length, width, std=0.01)
        self.ln_final = LayerNorm(width, config.epsilon)
        projects = config.projects
        self.text_projection = drawn(width, embed_dim, std=width**-0.5) if projects else None
        self.text_bias = nn.Parameter(torch.zeros(embed_dim)) if config.biased else None

    def initialize_parameters(self) -> None:
        """Draw the weights anew, with the standard deviations of OpenAI's code."""
        for part in self.modules():
            if isinstance(part, Transformer | ModifiedResNet):
                part.initialize_parameters()
        draw(self.token_embedding.weight, 0.02)
        draw(self.positional_embedding, 0.01)
        if self.text_projection is not None:
            draw(self.text_projection, self.transformer.width**-0.5)

    def build_attention_mask(self) -> Tensor:
        """Return what hides later tokens, (L, L): -inf above the diagonal, 0 elsewhere."""
        shape = (self.context_length, self.context_length)
        return torch.full(shape, float("-inf"), device="cpu").triu(1)  # no weight: never on meta

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the image tower's products, and so of embeddings."""
        return dtype_of(self.visual)

    def encode_image(self, image: Tensor) -> Tensor:
        """image: (B, 3, H, W) normalised pixels. Returns (B, D), not normalised, as OpenAI does."""
        return self.visual(image.type(self.dtype))  # type: ignore[no-any-return]

    def encode_text(self, text: Tensor) -> Tensor:
        """text: (B, L) token ids, L ≤ context_length. Returns (B, D), not normalised."""
        config = self.config.text
        if not isinstance(config, TextConfig):
            return self.text(text)  # type: ignore[no-any-return]
        x: Tensor = self.token_embedding(text).type(self.dtype)  # (B, L, W)
        x = x + self.positional_embedding[: text.shape[1]].type(self.dtype)
        x = self.transformer(x.transpose(0, 1)).transpose(0, 1)  # (L, B, W) inside
        x = self.ln_final(x).type(self.dtype)
        x = x[torch.arange(len(x), device=x.device), _places(text, config)]  # (B, W)
        if self.text_projection is not None:
            x = x @ self.text_projection  # (B, D)
        return x if self.text_bias is None else x + self.text_bias

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

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Accept the names of earlier versions, too, and drop the numbers in OpenAI's archives."""
        if not hasattr(self, "text"):
            for name in [name for name in state_dict if name.startswith(f"{prefix}text.")]:
                state_dict[prefix + name.removeprefix(f"{prefix}text.")] = state_dict.pop(name)
        for name in OPENAI_NUMBERS:
            state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _places(text: Tensor, config: TextConfig) -> Tensor:
    """Return the place in each text, (B,), whose output is its embedding."""
    if config.pool == "last":
        return torch.full_like(text[:, 0], text.shape[1] - 1)
    # OpenAI's end-of-text token has the highest id.
    return ((text == config.end).int() if config.pool == "end" else text).argmax(dim=1)


def build_model(state_dict: Mapping[str, Tensor]) -> CLIP:
    """Return OpenAI's model with these weights, in float16 like OpenAI's, in evaluation mode.

    The shapes of the weights reveal its sizes. Raises CheckpointError for other weights.
    """
    from clipmodel.checkpoints.read import read_openai  # which needs this module

    weights, config = read_openai(state_dict)
    model = CLIP.of(config)
    convert_weights(model)
    model.load_state_dict(weights)
    return model.eval()
