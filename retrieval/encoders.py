"""The image tower of a model, in torch for many pictures, in NumPy for a few.

Importing torch takes more than a second, in which NumPy encodes twenty pictures with a ViT-B/32.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipmodel.image_encoder import ImageEncoder, Precision
    from clipmodel.model_folder import ModelFolder
    from clipmodel.numpy_image_encoder import NumpyImageEncoder

MEANWHILE = 200e9  # operations that two or three cores do in NumPy until torch is there


def few(folder: "ModelFolder") -> int:
    """How many pictures are sooner encoded in NumPy; at least 1."""
    return max(1, int(MEANWHILE / folder.config.vision.operations))


def in_numpy(folder: "ModelFolder") -> "NumpyImageEncoder":
    from clipmodel.numpy_image_encoder import NumpyImageEncoder

    return NumpyImageEncoder(folder)


def in_torch(
    folder: "ModelFolder", device: str | None = None, precision: "Precision" = "auto"
) -> "ImageEncoder":
    from clipmodel.image_encoder import ImageEncoder

    return ImageEncoder(folder, device=device, precision=precision)
