"""The weights of one tower for NumPy, mapped into memory: only those in use are read."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError
from clipmodel.model_folder import read_tensors
from clipmodel.towers.shapes import Shapes, check, damaged

Floats = NDArray[np.float32]


class Weights:
    """Weights in float32, by name. Any number of threads may read at once."""

    def __init__(self, file: Path, prefix: str, shapes: Shapes) -> None:
        """Map a file. Raises CheckpointError.

        prefix: of the names in the file, removed here. shapes: exactly those that the file holds.
        """
        try:
            tensors = read_tensors(file)
        except CheckpointError as error:
            raise damaged(file.parent, error) from error
        self._held = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        check({name: held.shape for name, held in self._held.items()}, shapes, file.parent)

    def __getitem__(self, name: str) -> Floats:
        """Return a weight, mapped if the file has float32, else converted at its first use."""
        weight = self._held[name]
        if weight.dtype != np.float32:
            weight = self._held[name] = weight.astype(np.float32)
        return weight

    def raw(self, name: str) -> NDArray[Any]:
        """Return a weight in the file's own type."""
        return self._held[name]
