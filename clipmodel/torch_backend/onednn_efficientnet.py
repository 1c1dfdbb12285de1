"""EfficientNet-Lite in the form that x86 processors compute fastest, about twice as fast.

- Each convolution has its batch norm folded in, its weights packed for oneDNN, and ReLU6 applied
  before the result is written.
- Pictures and kernels are rotated by 180 degrees. Torch's even padding then has the same effect as
  TensorFlow's uneven padding, which has more below and to the right, and needs no copy.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from clipmodel.towers.efficientnet import EfficientNet, InvertedResidual

Shape = tuple[int, int, int, int]
# of torch.ops.mkldnn
OPERATORS = ("_convolution_pointwise", "_reorder_convolution_weight")
BATCH = 16  # pictures that the weights are packed for; any number works


class OneDnnEfficientNet:
    """A tower for inference that any number of threads may call.

    The given tower must not be used afterwards.
    """

    def __init__(self, tower: EfficientNet, dtype: torch.dtype, mean: Tensor, std: Tensor) -> None:
        """tower: in float32. mean, std: (3,), of pixels from 0 to 1."""
        out = tower.projection.out
        assert isinstance(out, nn.Linear)
        self._dtype, self._dim = dtype, out.out_features
        self._mean, self._std = mean * 255, std * 255
        size = tower.input_resolution
        self._stem = Convolution(tower.stem, dtype, (BATCH, 3, size, size))
        shape, self._blocks = self._stem.shape, list[OneDnnBlock]()
        for block in tower.blocks:
            self._blocks.append(OneDnnBlock(block, dtype, shape))
            shape = self._blocks[-1].shape
        self._last = Convolution(tower.last, dtype, shape)
        self._ends, self._embed = tower.ends, tower.embed

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8. Returns (B, D), not normalised."""
        if not len(pixels):
            return torch.empty(0, self._dim)
        x = ((pixels.flip(1, 2) - self._mean) / self._std).to(self._dtype)  # (B, S, S, 3)
        x = self._stem(x.permute(0, 3, 1, 2))  # (B, stem, S / 2, S / 2), channels last
        averages = list[Tensor]()
        for number, block in enumerate(self._blocks):
            x = block(x)
            if number in self._ends:
                averages.append(x.mean((2, 3), dtype=torch.float32))
        averages.append(self._last(x).mean((2, 3), dtype=torch.float32))
        return self._embed(torch.cat(averages, dim=1))


class OneDnnBlock:
    """An InvertedResidual with packed weights. `shape` is the shape of its result."""

    def __init__(self, block: nn.Module, dtype: torch.dtype, shape: Shape) -> None:
        assert isinstance(block, InvertedResidual)
        self._convolutions = list[Convolution]()
        for part in (block.expand, block.depthwise, block.project):
            if isinstance(part, nn.Sequential):
                self._convolutions.append(Convolution(part, dtype, shape))
                shape = self._convolutions[-1].shape
        self.shape = shape
        self._is_residual = block.is_residual

    def __call__(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same after the block, channels last."""
        out = x
        for convolution in self._convolutions:
            out = convolution(out)
        return out.add_(x) if self._is_residual else out


class Convolution:
    """A rotated convolution with its norm and its ReLU6, if it has one, in a single operation."""

    def __init__(self, part: nn.Sequential, dtype: torch.dtype, shape: Shape) -> None:
        """shape: of its input."""
        convolution, norm = part.conv, part.bn
        assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        folded = fuse_conv_bn_eval(convolution, norm)
        assert folded.bias is not None
        stride, groups = folded.stride[0], folded.groups
        weight = folded.weight.detach().flip(2, 3).to(dtype)
        self._bias = folded.bias.detach().to(dtype)
        self._places = [[weight.shape[2] // 2] * 2, [stride] * 2, [1, 1], groups]
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight.contiguous(memory_format=torch.channels_last), *self._places, list(shape)
        )
        self._after = ("hardtanh", [0.0, 6.0]) if hasattr(part, "relu") else ("none", [])
        sides = (-(-side // stride) for side in shape[2:])
        self.shape: Shape = (shape[0], len(self._bias), *sides)  # type: ignore[assignment]

    def __call__(self, x: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H / stride, W / stride), both channels last."""
        return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
            x, self._weight, self._bias, *self._places, *self._after, ""
        )
