"""Image towers made fast for inference: uint8 pixels in, embeddings out.

Each family has one function, which families.py names.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from clipmodel.model import VisionTransformer, in_dtype
from clipmodel.torch_backend import onednn_efficientnet, onednn_vit
from clipmodel.torch_backend.fusing import fold_norms, use_silu
from clipmodel.torch_backend.gpu_convolutions import GpuConvolutions
from clipmodel.torch_backend.gpu_vit import GpuSiglip, GpuVit
from clipmodel.torch_backend.onednn_efficientnet import OneDnnEfficientNet
from clipmodel.torch_backend.onednn_siglip import OneDnnSiglip
from clipmodel.torch_backend.onednn_vit import OneDnnVit
from clipmodel.towers.efficientnet import EfficientNet
from clipmodel.towers.resnet import ModifiedResNet
from clipmodel.towers.siglip import SiglipVisionTransformer


@dataclass(frozen=True)
class Setup:
    """The device and precision of a tower, and mean and deviation of its pixels in 0..1."""

    device: str
    dtype: torch.dtype
    mean: Tensor  # (3,)
    std: Tensor  # (3,)

    @property
    def kind(self) -> str:
        """The kind of device: "cpu", "cuda", "mps", "xpu"."""
        return torch.device(self.device).type

    @property
    def is_for_gpus(self) -> bool:
        """Whether towers get the form for GPUs; also on the meta device, where work is counted.

        MPS and XPU keep the modules themselves, since nobody could try the form there.
        """
        return self.kind in ("cuda", "meta")


def can_pack(setup: Setup, operators: Sequence[str]) -> bool:
    """Return whether the processor and torch have these operators (those of torch's compiler)."""
    return (
        setup.kind == "cpu"
        and setup.dtype in (torch.float32, torch.bfloat16)
        and platform.machine().lower() in ("x86_64", "amd64")
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and all(hasattr(torch.ops.mkldnn, name) for name in operators)
        and (setup.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def quick_vit(tower: nn.Module, setup: Setup) -> Callable[[Tensor], Tensor]:
    """Pack the weights where the processor benefits, else use torch's own activation."""
    assert isinstance(tower, VisionTransformer)
    if setup.is_for_gpus:
        return GpuVit(tower, setup.device, setup.dtype, setup.mean, setup.std)
    if can_pack(setup, onednn_vit.OPERATORS):
        return OneDnnVit(tower, setup.dtype, setup.mean, setup.std)
    use_silu(tower)
    return Normalised(tower, setup)


def quick_siglip(tower: nn.Module, setup: Setup) -> Callable[[Tensor], Tensor]:
    """Pack the weights where the processor benefits."""
    assert isinstance(tower, SiglipVisionTransformer)
    if setup.is_for_gpus:
        return GpuSiglip(tower, setup.device, setup.dtype, setup.mean, setup.std)
    if can_pack(setup, onednn_vit.OPERATORS):
        return OneDnnSiglip(tower, setup.dtype, setup.mean, setup.std)
    return Normalised(tower, setup)


def quick_convolutions(tower: nn.Module, setup: Setup) -> Callable[[Tensor], Tensor]:
    """Fold the batch norms into the convolutions, which are faster with channels last."""
    assert isinstance(tower, (ModifiedResNet, EfficientNet))
    if setup.is_for_gpus:
        return GpuConvolutions(tower, setup.device, setup.dtype, setup.mean, setup.std)
    fold_norms(tower)
    return Normalised(tower.to(memory_format=torch.channels_last), setup)


def quick_efficientnet(tower: nn.Module, setup: Setup) -> Callable[[Tensor], Tensor]:
    """Pack the weights where the processor benefits, else fold the norms."""
    assert isinstance(tower, EfficientNet)
    if can_pack(setup, onednn_efficientnet.OPERATORS):
        return OneDnnEfficientNet(tower, setup.dtype, setup.mean, setup.std)
    return quick_convolutions(tower, setup)


class Normalised:
    """A tower for normalised pixels that is given bytes."""

    def __init__(self, tower: nn.Module, setup: Setup) -> None:
        in_dtype(tower, setup.dtype)
        self._tower = tower.to(setup.device)
        self._mean = setup.mean.view(3, 1, 1).to(setup.device) * 255
        self._std = setup.std.view(3, 1, 1).to(setup.device) * 255

    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8. Returns (B, D), on the tower's device."""
        batch = pixels.permute(0, 3, 1, 2)  # (B, 3, S, S)
        batch = batch.to(self._mean.device).float()  # channels last
        return self._tower((batch - self._mean) / self._std)  # type: ignore[no-any-return]


@contextmanager
def exact_products() -> Iterator[None]:
    """Compute products and convolutions in float32 as such, not in TensorFloat-32.

    Convolutions are by default, with 10 bits of 23. Settings of the program are restored.
    """
    parts = _settings_of_float32()
    before = [getattr(part, name) for part, name, _ in parts]
    try:
        for part, name, exact in parts:
            setattr(part, name, exact)
        yield
    finally:
        for (part, name, _), value in zip(parts, before, strict=True):
            setattr(part, name, value)


def _settings_of_float32() -> list[tuple[object, str, object]]:
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):  # torch 2.9; it refuses to mix this with the older names
        return [(matmul, "fp32_precision", "ieee"), (cudnn.conv, "fp32_precision", "ieee")]
    return [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]
