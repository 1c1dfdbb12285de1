"""ResNet and EfficientNet in the form that GPUs compute fastest: channels last, norms folded."""

import torch
from torch import Tensor, nn

from clipmodel.model import in_dtype
from clipmodel.torch_backend.fusing import fold_norms
from clipmodel.torch_backend.gpu_vit import UNIT
from clipmodel.towers.efficientnet import EfficientNet
from clipmodel.towers.resnet import ModifiedResNet


class GpuConvolutions:
    """A tower for inference, made of one of torch's modules, which must not be used afterwards."""

    def __init__(
        self,
        tower: ModifiedResNet | EfficientNet,
        device: str,
        dtype: torch.dtype,
        mean: Tensor,
        std: Tensor,
    ) -> None:
        """tower: in float32. mean, std: (3,), of pixels from 0 to 1."""
        fold_norms(tower)
        first = tower.stem.conv if isinstance(tower, EfficientNet) else tower.conv1
        assert isinstance(first, nn.Conv2d)
        # Zeros around a picture stand for the mean, so the mean cannot go into the weights.
        first.weight.data = first.weight.data * (UNIT / (255 * std)).view(1, 3, 1, 1)
        in_dtype(tower, dtype)
        self._dtype = dtype
        self._centre = (-255 / UNIT * mean).to(device)
        self._tower = tower.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8, on the device. Returns (B, D), not normalised."""
        x = torch.empty(pixels.shape, dtype=self._dtype, device=pixels.device)
        torch.add(self._centre, pixels, alpha=1 / UNIT, out=x)  # (B, S, S, 3)
        return self._tower(x.permute(0, 3, 1, 2))  # type: ignore[no-any-return]
