"""Configurations of models: frozen, JSON-able, built once and passed whole.

Each family of towers has a config of its own; families.py lists the families.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from clipmodel.errors import CheckpointError

Activation = Literal["quick_gelu", "gelu", "gelu_tanh"]  # exact, or its approximation by tanh
Interpolation = Literal["bicubic", "bilinear"]


@dataclass(frozen=True, slots=True)
class Resize:
    """How a picture becomes the square of pixels that an image tower sees.

    `shortest` resizes the shorter side to `edge` pixels, `squash` both sides, whatever their ratio;
    then the middle is cropped.
    """

    size: int  # pixels a side, of the square
    mode: Literal["shortest", "squash"] = "shortest"
    interpolation: Interpolation = "bicubic"
    edge: int = 0  # pixels; 0: equal to `size`

    @property
    def shorter(self) -> int:
        """The shorter side of a resized picture before it is cropped, in pixels."""
        return self.edge or self.size


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

    @property
    def vocabulary(self) -> str:
        """The name of the vocabulary whose token ids the tower takes; see vocabularies.py."""
        return "clip"

    @property
    def sees_padding(self) -> bool:
        """True if a text's embedding depends on the padding after it."""
        return False


def _check_end(tower: str, width: int, embed_dim: int) -> None:
    """Raise CheckpointError unless a tower without a projection is as wide as D."""
    if embed_dim != width:
        raise CheckpointError(f"its {tower} tower ends with {width} numbers, not with {embed_dim}")


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
class SiglipVisionConfig(ImageTowerConfig):
    """A vision transformer without a class token, whose places an attention pool joins.

    D is its width.
    """

    patch_size: int  # pixels per side
    width: int
    layers: int
    heads: int  # of the blocks and of the pool
    mlp_width: int
    activation: Activation

    @property
    def places(self) -> int:
        """The number of patches."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def operations(self) -> int:
        of_a_place = self.width * (4 * self.width + 2 * self.mlp_width)
        of_a_patch = 3 * self.patch_size**2 * self.width
        return 2 * self.places * (of_a_patch + self.layers * of_a_place + 2 * self.width**2)

    def check(self, embed_dim: int) -> None:
        """Raise CheckpointError for a D that the tower cannot have."""
        _check_end("image", self.width, embed_dim)


@dataclass(frozen=True)
class OpenClipVisionConfig(ImageTowerConfig):
    """A tower that OpenCLIP builds, with timm or alone."""

    embed_dim: int  # D
    settings: str  # `vision_cfg` of OpenCLIP's config, in JSON
    quick_gelu: bool

    @property
    def operations(self) -> int:
        return 100_000_000_000  # not known; torch computes even a single picture


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
class Stage:
    """A stage of inverted residual blocks of equal width. Only the first block has the stride."""

    kernel: int  # side of the depthwise convolution: 3 or 5
    stride: int
    expansion: int  # ratio of the channels inside a block to those that enter it
    channels: int  # that leave a block
    blocks: int


@dataclass(frozen=True)
class EfficientNetConfig(ImageTowerConfig):
    """An EfficientNet-Lite (Tan and Le 2019; Liu 2020): ReLU6, no squeeze-and-excitation."""

    stem: int  # channels of the first convolution
    stages: tuple[Stage, ...]
    head_width: int  # channels of the last convolution, which are averaged over all places
    projection: tuple[int, ...]  # widths of the hidden layers between the averages and D
    all_stages: bool = False  # averages of all stages are projected, not of the last convolution's
    classes: int = 0  # whose embeddings are added, each by its probability

    @property
    def features(self) -> int:
        """The number of averages that are projected: stage after stage, the head's at the end."""
        before = sum(stage.channels for stage in self.stages) if self.all_stages else 0
        return before + self.head_width

    def __post_init__(self) -> None:
        stages = (each if isinstance(each, Stage) else Stage(**each) for each in self.stages)
        object.__setattr__(self, "stages", tuple(stages))  # JSON has dicts instead

    @property
    def operations(self) -> int:
        side, inside = -(-self.image_size // 2), self.stem
        products = side**2 * 27 * inside
        for stage in self.stages:
            for block in range(stage.blocks):
                wide = inside * stage.expansion
                products += side**2 * inside * wide if stage.expansion > 1 else 0
                side = -(-side // stage.stride) if block == 0 else side
                products += side**2 * wide * (stage.kernel**2 + stage.channels)
                inside = stage.channels
        layers = (self.features, *self.projection)
        products += side**2 * inside * self.head_width + self.head_width * self.classes
        return 2 * (products + sum(before * after for before, after in pairwise(layers)))


@dataclass(frozen=True)
class TextConfig(TextTowerConfig):
    """A transformer whose output is that of one token; OpenAI's by default.

    pool: which token's, the one with the highest id, that in the last place or the first `end`.
    """

    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: Activation
    tokens: str = "clip"  # the name of its vocabulary
    causal: bool = True  # no token sees a later one
    pool: Literal["highest", "last", "end"] = "highest"
    end: int = 0  # the id of the token after a text
    epsilon: float = 1e-5  # of all norms
    biased: bool = False  # the projection to D
    projects: bool = True  # by a matrix to D; otherwise D is the width

    @property
    def vocabulary(self) -> str:
        return self.tokens

    @property
    def sees_padding(self) -> bool:
        return not self.causal or self.pool == "last"


@dataclass(frozen=True)
class CocaTextConfig(TextTowerConfig):
    """A causal transformer with a class token after the context, which is its output."""

    width: int
    layers: int
    heads: int
    mlp_width: int
    activation: Activation


@dataclass(frozen=True)
class BertConfig(TextTowerConfig):
    """A bidirectional transformer over word pieces (Devlin et al. 2018), mean-pooled; GELU.

    RoBERTa and XLM-RoBERTa are of this kind. So is the encoder of NLLB, with other options.
    """

    width: int
    layers: int
    heads: int
    mlp_width: int
    projects: bool  # by a matrix to D; otherwise D is the width
    hidden: int = 0  # width of a layer, with GELU, before the projection; 0: none
    epsilon: float = 1e-12  # of all norms
    padding: int = 0  # token id
    tokens: str = "bert"  # the name of its vocabulary
    pool: Literal["mean", "first"] = "mean"  # of all tokens, or the first one's output
    norm_first: bool = False  # before attention and perceptron, not after
    activation: Literal["gelu", "relu"] = "gelu"
    biased: bool = False  # the projection to D

    @property
    def vocabulary(self) -> str:
        return self.tokens

    def check(self, embed_dim: int) -> None:
        """Raise CheckpointError for a D that the tower cannot have."""
        if not self.projects:
            _check_end("text", self.width, embed_dim)


@dataclass(frozen=True)
class T5Config(TextTowerConfig):
    """The encoder of T5 1.1 (Raffel et al. 2020), mean-pooled; mT5's is of this kind.

    Instead of positions, the distance of two tokens adds a number to the logit of their attention.
    """

    width: int
    layers: int
    heads: int
    head_width: int
    mlp_width: int
    buckets: int  # of distances
    hidden: int = 0  # width of a layer, with GELU, before the projection; 0: none
    projects: bool = True  # by a matrix to D; otherwise D is the width
    tokens: str = "mt5"  # the name of its vocabulary

    @property
    def vocabulary(self) -> str:
        return self.tokens

    def check(self, embed_dim: int) -> None:
        """Raise CheckpointError for a D that the tower cannot have."""
        if not self.projects:
            _check_end("text", self.width, embed_dim)


@dataclass(frozen=True)
class ModelConfig:
    """The config of a model: its towers, the dimension they share, and the pixels' mean and std.

    mean, std: of pixels in 0..1 (RGB). resize: None for OpenAI's, bicubic and cropped.
    logit_bias: True for a model that adds a number to its logits, as SigLIP does.
    """

    embed_dim: int
    vision: ImageTowerConfig
    text: TextTowerConfig
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Resize | None = None
    logit_bias: bool = False

    @property
    def pixels(self) -> Resize:
        """How a picture becomes a square of pixels."""
        return self.resize or Resize(self.vision.image_size)
