"""What a CLIP model is made of: frozen, JSON-able, built once and passed whole."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Activation = Literal["quick_gelu", "gelu"]


@dataclass(frozen=True)
class VisionConfig:
    """A vision transformer."""

    image_size: int  # pixels per side
    patch_size: int  # pixels per side
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: Activation  # OpenAI's weights: quick_gelu

    @property
    def operations(self) -> int:
        """Multiplications and additions that the products of weights take for one picture."""
        patches = (self.image_size // self.patch_size) ** 2
        of_a_block = self.width * (4 * self.width + 2 * self.mlp_width)
        of_patches = 3 * self.patch_size**2 * self.width
        return 2 * (patches * of_patches + (patches + 1) * self.layers * of_a_block)


@dataclass(frozen=True)
class ResNetConfig:
    """A ResNet with CLIP's three-convolution stem, anti-aliased strides and attention pool."""

    image_size: int  # pixels per side, a multiple of 32
    width: int  # channels of the first stage; the last one has 32 times as many
    layers: tuple[int, int, int, int]  # bottleneck blocks of each stage
    heads: int  # of the attention pool

    @property
    def operations(self) -> int:
        """As of a `VisionConfig`. What halves the sides doubles the channels, so that channels² ×
        places, `unit`, is the same in all stages.
        """
        unit = (self.width * self.image_size // 4) ** 2
        of_blocks = (4 + 9 + 4) * sum(self.layers)
        of_first_blocks = 1 + 3 * 39  # beyond that: a shortcut, two convolutions before a stride
        of_stem, of_attention_pool = 9 + 18, 2 * 16
        return 2 * unit * (of_blocks + of_first_blocks + of_stem + of_attention_pool)


@dataclass(frozen=True)
class TextConfig:
    """A causal transformer over BPE tokens."""

    context_length: int
    vocab_size: int
    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: Activation


@dataclass(frozen=True)
class ModelConfig:
    """Both towers, the dimension they share, and how pixels in 0..1 are normalised (RGB)."""

    embed_dim: int
    vision: VisionConfig | ResNetConfig
    text: TextConfig
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, held: dict[str, Any]) -> "ModelConfig":
        """The inverse of `to_dict`; a missing or unknown field is a TypeError or KeyError."""
        vision = dict(held["vision"])
        return cls(
            embed_dim=held["embed_dim"],
            vision=VisionConfig(**vision)
            if "patch_size" in vision
            else ResNetConfig(**{**vision, "layers": tuple(vision["layers"])}),
            text=TextConfig(**held["text"]),
            mean=tuple(held["mean"]),
            std=tuple(held["std"]),
        )
