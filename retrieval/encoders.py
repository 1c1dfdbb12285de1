"""The image tower of a model, in torch for many pictures, in NumPy for a few.

Importing torch takes more than a second, in which NumPy encodes twenty pictures with a ViT-B/32.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
    from clipmodel.torch_backend.image_encoder import ImageEncoder, Precision

# Operations that two or three cores do in NumPy until torch has its tower:
MEANWHILE = 200e9
IF_TORCH_IS_THERE = 40e9
MOST = 64  # pictures, however small the model: as many as are looked at before any is encoded


def most_in_numpy(folder: "ModelFolder") -> int:
    """How many pictures are sooner encoded in NumPy; at least 1."""
    meanwhile = IF_TORCH_IS_THERE if "torch" in sys.modules else MEANWHILE
    return min(max(1, int(meanwhile / folder.config.vision.operations)), MOST)


def in_numpy(folder: "ModelFolder") -> "NumpyImageEncoder":
    from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder

    return NumpyImageEncoder(folder)


def in_torch(
    folder: "ModelFolder", device: str | None = None, precision: "Precision" = "auto"
) -> "ImageEncoder":
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    return ImageEncoder(folder, device=device, precision=precision)
