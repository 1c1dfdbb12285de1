"""The weights of one tower for NumPy, mapped into memory: only those in use are read."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import CheckpointError
from clipmodel.model_folder import read_tensors
from clipmodel.quantised import split
from clipmodel.towers.shapes import Shapes, check, damaged

Floats = NDArray[np.float32]


class Weights:
    """Weights in float32, by name. Any number of threads may read at once."""

    def __init__(self, file: Path, prefix: str, shapes: Shapes) -> None:
        """Map a file. Raises CheckpointError.

        prefix: of the names in the file, removed here. shapes: exactly those that the file holds.
        """
        try:
            held, scales = split(read_tensors(file))
        except CheckpointError as error:
            raise damaged(file.parent, error) from error
        self._held = {name.removeprefix(prefix): tensor for name, tensor in held.items()}
        self._scales = {name.removeprefix(prefix): scale for name, scale in scales.items()}
        check({name: held.shape for name, held in self._held.items()}, shapes, file.parent)

    def __getitem__(self, name: str) -> Floats:
        """Return a weight, mapped if the file has float32, else converted at its first use."""
        weight = self._held[name]
        if weight.dtype != np.float32:
            weight = self._held[name] = self._converted(name, slice(None))
        return weight

    def rows(self, name: str, places: NDArray[np.int64]) -> Floats:
        """Return some rows of a matrix (R, C), (*places.shape, C); no others are read."""
        return self._converted(name, places)

    def integers(self, name: str) -> tuple[NDArray[np.int8], Floats] | None:
        """Return a matrix and the scale of its rows, unless it is held as floats."""
        held = self._held[name]
        if held.dtype != np.int8:
            return None
        return held, self._scales[name].astype(np.float32)

    def raw(self, name: str) -> NDArray[Any]:
        """Return a weight in the file's own type."""
        return self._held[name]

    def _converted(self, name: str, rows: NDArray[np.int64] | slice) -> Floats:
        held = self._held[name]
        converted: Floats = (held[rows] if held.ndim else held).astype(np.float32)
        if held.dtype == np.int8:
            converted *= self._scales[name][rows].astype(np.float32)[..., None]
        return converted
