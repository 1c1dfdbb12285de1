"""Configurations of models: frozen, JSON-able, built once and passed whole.

Each family of towers has a config of its own; families.py lists the families.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

Activation = Literal["quick_gelu", "gelu"]


@dataclass(frozen=True)
class ImageTowerConfig(ABC):
    """The part of a config that image towers of all families share."""

    image_size: int  # pixels per side

    @property
    @abstractmethod
    def operations(self) -> int:
        """The multiplications and additions of all products with weights, for one picture."""


@dataclass(frozen=True)
class TextTowerConfig:
    """The part of a config that text towers of all families share."""

    context_length: int  # tokens
    vocab_size: int


@dataclass(frozen=True)
class VisionConfig(ImageTowerConfig):
    """A vision transformer."""

    patch_size: int  # pixels per side
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: Activation  # OpenAI's weights: quick_gelu

    @property
    def operations(self) -> int:
        patches = (self.image_size // self.patch_size) ** 2
        of_a_block = self.width * (4 * self.width + 2 * self.mlp_width)
        of_patches = 3 * self.patch_size**2 * self.width
        return 2 * (patches * of_patches + (patches + 1) * self.layers * of_a_block)


@dataclass(frozen=True)
class ResNetConfig(ImageTowerConfig):
    """A ResNet with CLIP's three-convolution stem, anti-aliased strides and attention pool.

    Its sides are multiples of 32 pixels.
    """

    width: int  # channels of the first stage; the last one has 32 times as many
    layers: tuple[int, int, int, int]  # bottleneck blocks of each stage
    heads: int  # of the attention pool

    @property
    def operations(self) -> int:
        # Each stage halves the sides and doubles the channels, so channels² × places is constant.
        unit = (self.width * self.image_size // 4) ** 2
        of_blocks = (4 + 9 + 4) * sum(self.layers)
        of_first_blocks = 1 + 3 * 39  # in addition: a shortcut, two convolutions before a stride
        of_stem, of_attention_pool = 9 + 18, 2 * 16
        return 2 * unit * (of_blocks + of_first_blocks + of_stem + of_attention_pool)


@dataclass(frozen=True)
class TextConfig(TextTowerConfig):
    """A causal transformer over BPE tokens."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: Activation


@dataclass(frozen=True)
class ModelConfig:
    """Both towers, the dimension they share, and mean and deviation of pixels in 0..1 (RGB)."""

    embed_dim: int
    vision: ImageTowerConfig
    text: TextTowerConfig
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
