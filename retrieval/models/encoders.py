"""A model's image encoder: NumPy for a few pictures, which spares importing torch, and torch."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    from clipmodel.torch_backend.image_encoder import ImageEncoder, Precision

# Operations that two or three cores do in NumPy while torch loads its tower.
OPERATIONS_MEANWHILE = 200e9
OPERATIONS_IF_IMPORTED = 40e9  # if torch itself is imported already
MAX_IN_NUMPY = 64  # pictures, for any model; no more are read before the first is encoded


def most_in_numpy(folder: "ModelFolder") -> int:
    """Return how many pictures NumPy encodes before torch would have done so; at least 1."""
    is_imported = "torch" in sys.modules
    meanwhile = OPERATIONS_IF_IMPORTED if is_imported else OPERATIONS_MEANWHILE
    return min(max(1, int(meanwhile / folder.config.vision.operations)), MAX_IN_NUMPY)


def in_numpy(folder: "ModelFolder") -> "NumpyImageEncoder":
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder

    return NumpyImageEncoder(folder)


def in_torch(
    folder: "ModelFolder", device: str | None = None, precision: "Precision" = "auto"
) -> "ImageEncoder":
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    return ImageEncoder(folder, device=device, precision=precision)
