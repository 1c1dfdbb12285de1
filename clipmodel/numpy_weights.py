"""The weights of one tower for NumPy, mapped into memory: only what is used is read."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError
from clipmodel.model_folder import read_tensors

Floats = NDArray[np.float32]


class Weights:
    """float32 by name. Any number of threads may read at once."""

    def __init__(self, file: Path, prefix: str) -> None:
        """prefix: of all names in the file, left out here. Raises CheckpointError."""
        self._file = file
        self._prefix = prefix
        self._held = {
            name.removeprefix(prefix): tensor for name, tensor in read_tensors(file).items()
        }

    def __getitem__(self, name: str) -> Floats:
        """Mapped where the file has it as float32, else converted once, when first used."""
        weight = self.raw(name)
        if weight.dtype != np.float32:
            weight = self._held[name] = weight.astype(np.float32)
        return weight

    def raw(self, name: str) -> NDArray[Any]:
        """In the file's own type."""
        try:
            return self._held[name]
        except KeyError as error:
            raise CheckpointError(f"{self._file} has no weights {self._prefix}{name}") from error

    def check(self, name: str, shape: tuple[int, ...]) -> None:
        """Raise CheckpointError where the file is of a model of another shape."""
        if self.raw(name).shape != shape:
            raise CheckpointError(f"{self._file} has weights of another model's shape")
