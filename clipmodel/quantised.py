"""Matrices as 8-bit integers with a scale for each part of a row: a quarter of float32 on disk.

In a safetensors file the integers (R, C) have the weight's name, and the scales the same name with
`_scale` at its end: (R, G) float32, for G parts of a row of equal length. Their product is within
half a step of the weight.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError

SCALE = "_scale"  # at the end of a name
STEPS = 127  # on either side of zero
PART = 128  # columns; some rows have a few large numbers, which coarsen only their part

if TYPE_CHECKING:
    import torch

Tensor = TypeVar("Tensor", NDArray[Any], "torch.Tensor")


def quantised(weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return a matrix (R, C) as integers, and the scales of its parts, (R, G)."""
    rows, columns = weight.shape
    groups = 1 if columns % PART else columns // PART
    parts = weight.reshape(rows, groups, -1)
    scale = np.abs(parts).max(axis=2) / STEPS
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.rint(parts / scale[..., None]).astype(np.int8).reshape(weight.shape), scale


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
        if is_quantised and not _fit(tuple(tensor.shape), tuple(scales[name].shape)):
            raise CheckpointError(
                f"{name}{SCALE} must have scales for equal parts of {name}'s rows"
            )
    return {name: held[name] for name in held if name not in names}, scales


def _fit(matrix: tuple[int, ...], scales: tuple[int, ...]) -> bool:
    if len(matrix) != 2 or len(scales) != 2 or 0 in scales:
        return False
    return matrix[0] == scales[0] and matrix[1] % scales[1] == 0
