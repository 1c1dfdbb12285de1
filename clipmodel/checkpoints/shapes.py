"""What the shapes and names of weights reveal."""

import math
from collections.abc import Mapping

from torch import Tensor

from clipmodel.errors import CheckpointError


def layers(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Count the numbers that follow `prefix` in the names."""
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})


def shape(weights: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a weight. Raises CheckpointError for other dimensions, or if missing."""
    if name not in weights:
        raise CheckpointError(f"the weights lack {name}")
    found = tuple(weights[name].shape)
    if len(found) != dimensions or 0 in found:
        raise CheckpointError(f"{name} has the shape {found}, not one of {dimensions} dimensions")
    return found


def side(weights: Mapping[str, Tensor], name: str) -> int:
    """Return the side of the square of places that the position embedding `name` covers."""
    places = shape(weights, name, 2)[0] - 1
    if math.isqrt(places) ** 2 != places:
        raise CheckpointError(f"layout not supported: {name} is for pictures that are not square")
    return math.isqrt(places)
