"""CLIP's ResNet (Radford et al. 2021, 2.4): leaves to root.

Names, arguments and parameters are those of OpenAI's package.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clipmodel.config import ResNetConfig
from clipmodel.towers.initial import drawn


class Bottleneck(nn.Module):
    """A block of 1×1, 3×3 and 1×1 convolutions and a shortcut; strides are average pools."""

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        outplanes = planes * self.expansion
        self.conv1 = nn.Conv2d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu2 = nn.ReLU(inplace=True)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, outplanes, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outplanes)
        self.relu3 = nn.ReLU(inplace=True)
        self.stride = stride
        self.downsample: nn.Sequential | None = None
        if stride > 1 or inplanes != outplanes:
            layers: list[tuple[str, nn.Module]] = [
                ("-1", nn.AvgPool2d(stride)),
                ("0", nn.Conv2d(inplanes, outplanes, 1, bias=False)),
                ("1", nn.BatchNorm2d(outplanes)),
            ]
            self.downsample = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu1(self.bn1(self.conv1(x)))
        out = self.relu2(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(self.avgpool(out)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu3(out + shortcut)  # type: ignore[no-any-return]


class AttentionPool2d(nn.Module):
    """Attention pooling: the mean of all places is the query that attends to all of them."""

    def __init__(
        self, spacial_dim: int, embed_dim: int, num_heads: int, output_dim: int | None = None
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        places = spacial_dim**2 + 1
        self.positional_embedding = drawn(places, embed_dim, std=embed_dim**-0.5)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.c_proj = nn.Linear(embed_dim, output_dim or embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, N, C)
        x = torch.cat([x.mean(dim=1, keepdim=True), x], dim=1)  # (B, 1 + N, C)
        x = x + self.positional_embedding.to(x.dtype)
        query = self._heads(self.q_proj(x[:, :1]))  # (B, heads, 1, C / heads)
        out = F.scaled_dot_product_attention(
            query, self._heads(self.k_proj(x)), self._heads(self.v_proj(x))
        )
        return self.c_proj(out.transpose(1, 2).flatten(1))  # type: ignore[no-any-return]  # (B, D)

    def _heads(self, x: Tensor) -> Tensor:
        batch, places, width = x.shape
        split = x.reshape(batch, places, self.num_heads, width // self.num_heads)
        return split.transpose(1, 2)  # (B, N, C) -> (B, heads, N, C / heads)


class ModifiedResNet(nn.Module):
    """Pixels -> embedding, not normalised."""

    def __init__(
        self,
        layers: Sequence[int],
        output_dim: int,
        heads: int,
        input_resolution: int = 224,
        width: int = 64,
    ) -> None:
        super().__init__()
        self.input_resolution, self.output_dim = input_resolution, output_dim
        self.conv1 = nn.Conv2d(3, width // 2, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.relu3 = nn.ReLU(inplace=True)
        self.avgpool = nn.AvgPool2d(2)
        self.layer1 = _stage(width, width, layers[0], stride=1)
        self.layer2 = _stage(width * 4, width * 2, layers[1], stride=2)
        self.layer3 = _stage(width * 8, width * 4, layers[2], stride=2)
        self.layer4 = _stage(width * 16, width * 8, layers[3], stride=2)
        self.attnpool = AttentionPool2d(input_resolution // 32, width * 32, heads, output_dim)
        self.initialize_parameters()

    @classmethod
    def of(cls, config: ResNetConfig, embed_dim: int) -> Self:
        """Return the tower that a config describes."""
        return cls(config.layers, embed_dim, config.heads, config.image_size, config.width)

    def initialize_parameters(self) -> None:
        """Draw the attention pool anew, and let each block start as its shortcut alone."""
        pool = self.attnpool
        for linear in (pool.q_proj, pool.k_proj, pool.v_proj, pool.c_proj):
            nn.init.normal_(linear.weight, std=pool.c_proj.in_features**-0.5)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                nn.init.zeros_(block.bn3.weight)  # type: ignore[union-attr, arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 3, H, W) normalised pixels. Returns (B, D)."""
        x = x.to(self.conv1.weight.dtype)
        x = self.relu1(self.bn1(self.conv1(x)))  # (B, W/2, H/2, W/2)
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.relu3(self.bn3(self.conv3(x)))
        x = self.avgpool(x)  # (B, width, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, 32 width, H/32, W/32)
        return self.attnpool(x)  # type: ignore[no-any-return]


def _stage(inplanes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(inplanes, planes, stride)
    return nn.Sequential(
        first, *(Bottleneck(planes * Bottleneck.expansion, planes) for _ in range(blocks - 1))
    )
