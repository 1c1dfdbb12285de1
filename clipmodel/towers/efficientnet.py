"""EfficientNet-Lite (Tan and Le 2019; Liu 2020) and its projections to D: leaves to root.

It computes the same as TensorFlow's published models, so their weights fit: odd padding has one
pixel more below and to the right, and norms have an epsilon of 1e-3.
"""

from collections import OrderedDict
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import EfficientNetConfig, Stage
from clipmodel.towers.initial import draw
from clipmodel.towers.transformer import LayerNorm

EPSILON, MOMENTUM = 1e-3, 0.01  # of batch norms


class SameConv2d(nn.Conv2d):
    """A convolution to (H / stride, W / stride), rounded up, with TensorFlow's "same" padding."""

    def forward(self, x: Tensor) -> Tensor:
        side, stride = self.kernel_size[0], self.stride[0]
        down, across = (same_padding(length, side, stride) for length in x.shape[2:])
        if down[0] == down[1] == across[0] == across[1]:
            return F.conv2d(x, self.weight, self.bias, stride, down[0], groups=self.groups)
        padded = F.pad(x, (*across, *down))
        return F.conv2d(padded, self.weight, self.bias, stride, groups=self.groups)


def same_padding(length: int, side: int, stride: int) -> tuple[int, int]:
    """Return the zeros before and after a row of pixels for a kernel of this side."""
    missing = max((-(-length // stride) - 1) * stride + side - length, 0)
    return missing // 2, missing - missing // 2


def convolution(
    inside: int, outside: int, side: int = 1, *, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    """Return a convolution, its batch norm and, if asked for, ReLU6."""
    conv = SameConv2d(inside, outside, side, stride=stride, groups=groups, bias=False)
    draw(conv.weight, (2 / (outside // groups * side * side)) ** 0.5)
    layers: list[tuple[str, nn.Module]] = [
        ("conv", conv),
        ("bn", nn.BatchNorm2d(outside, EPSILON, MOMENTUM)),
    ]
    if relu:
        layers.append(("relu", nn.ReLU6(inplace=True)))
    return nn.Sequential(OrderedDict(layers))


class InvertedResidual(nn.Module):
    """A block: 1×1 to more channels, a depthwise convolution, 1×1 to fewer; no ReLU at the end."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.expand = convolution(inside, wide) if expansion > 1 else nn.Identity()
        self.depthwise = convolution(wide, wide, kernel, stride=stride, groups=wide)
        self.project = convolution(wide, outside, relu=False)
        self.is_residual = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, outside, H / stride, W / stride)."""
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return out + x if self.is_residual else out


class Classes(nn.Module):
    """The classes of a classifier, each with an embedding that is added by its probability.

    It carries what a classifier was taught about a thousand things into the space of words, also
    of things that no captioned picture shows.
    """

    def __init__(self, inside: int, count: int, embed_dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(inside, count)
        self.embedding = nn.Parameter(torch.empty(count, embed_dim))
        draw(self.embedding, embed_dim**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, inside). Returns (B, D)."""
        return F.softmax(self.score(features), dim=1) @ self.embedding


class EfficientNet(nn.Module):
    """Pixels -> embedding, not normalised."""

    def __init__(self, config: EfficientNetConfig, embed_dim: int) -> None:
        super().__init__()
        self.input_resolution = config.image_size
        self.stem = convolution(3, config.stem, 3, stride=2)
        self.blocks = nn.Sequential(*_blocks(config.stem, config.stages))
        self.last = convolution(config.stages[-1].channels, config.head_width)
        self.projection = _projection((config.features, *config.projection), embed_dim)
        self.head_width = config.head_width
        self.ends = stage_ends(config) if config.all_stages else frozenset()
        if config.classes:
            self.classes = Classes(config.head_width, config.classes, embed_dim)

    def features(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) normalised pixels. Returns (B, F), averages over all places."""
        x = self.stem(x.to(self.stem.conv.weight.dtype))  # type: ignore[arg-type, union-attr]
        averages = list[Tensor]()
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.ends:
                averages.append(x.mean((2, 3)))
        return torch.cat([*averages, self.last(x).mean((2, 3))], dim=1)

    def embed(self, features: Tensor) -> Tensor:
        """features: (B, F). Returns (B, D)."""
        projected: Tensor = self.projection(features)
        if not hasattr(self, "classes"):
            return projected
        return projected + self.classes(features[:, -self.head_width :])  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) normalised pixels. Returns (B, D)."""
        return self.embed(self.features(x))


def stage_ends(config: EfficientNetConfig) -> frozenset[int]:
    """Return the number of the last block of each stage."""
    return frozenset(total - 1 for total in accumulate(stage.blocks for stage in config.stages))


def _blocks(inside: int, stages: tuple[Stage, ...]) -> list[nn.Module]:
    blocks = list[nn.Module]()
    for stage in stages:
        for number in range(stage.blocks):
            stride = stage.stride if number == 0 else 1
            blocks.append(
                InvertedResidual(inside, stage.channels, stage.kernel, stride, stage.expansion)
            )
            inside = stage.channels
    return blocks


def _projection(widths: tuple[int, ...], embed_dim: int) -> nn.Sequential:
    """Return products to each width, with GELU and a norm between, and the one to D."""
    layers = OrderedDict[str, nn.Module]()
    for number, (inside, outside) in enumerate(pairwise(widths)):
        layers[f"fc_{number}"] = nn.Linear(inside, outside)
        layers[f"gelu_{number}"] = nn.GELU()
        layers[f"ln_{number}"] = LayerNorm(outside)
    layers["out"] = nn.Linear(widths[-1], embed_dim)
    return nn.Sequential(layers)
