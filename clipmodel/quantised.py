"""Matrices as 8-bit integers with one scale for each row: a quarter of float32 on disk.

In a safetensors file the integers have the weight's name, and the scales, (rows,) float32, the same
name with `_scale` at its end. A weight is their product; it differs by half a step at most.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError

SCALE = "_scale"  # at the end of a name
STEPS = 127  # on either side of zero

if TYPE_CHECKING:
    import torch

Tensor = TypeVar("Tensor", NDArray[Any], "torch.Tensor")


def quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a matrix (R, C) as integers, and the scale of each row, (R,)."""
    scale = np.abs(weight).max(axis=1) / STEPS
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(weight / scale[:, None]).astype(np.int8), scale


def split(held: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tensors without scales, and the scales by the name of their weight.

    Raises CheckpointError for scales that fit no matrix of integers, and for integers without.
    """
    scales = {
        name.removesuffix(SCALE): tensor
        for name, tensor in held.items()
        if name.endswith(SCALE) and name.removesuffix(SCALE) in held
    }
    names = {name + SCALE for name in scales}
    for name, tensor in held.items():
        is_quantised = str(tensor.dtype).removeprefix("torch.") == "int8"
        if is_quantised != (name in scales):
            raise CheckpointError(f"{name} must have 8-bit integers and {SCALE}, or neither")
        if is_quantised and (tensor.ndim != 2 or scales[name].shape != tensor.shape[:1]):
            raise CheckpointError(f"{name}{SCALE} must have one scale for each row of {name}")
    return {name: held[name] for name in held if name not in names}, scales
