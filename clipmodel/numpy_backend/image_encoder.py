"""The image tower in NumPy, for a few pictures: an example to search by, or today's new ones.

Importing torch takes more than a second; encoding a picture with ViT-B/32, a twentieth of that. For
many pictures `ImageEncoder` is faster.
"""

import numpy as np
from numpy.typing import NDArray

from clipmodel.errors import ClipModelError
from clipmodel.families import image_family
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.weights import Floats, Weights


class NumpyImageEncoder:
    """Pictures -> unit vectors. Any number of threads may encode at once."""

    batch_size = 4  # bounds the memory; a larger one is not faster
    slots = 1  # the cores share each product
    precision = "fp32"

    def __init__(self, folder: ModelFolder) -> None:
        """Raises CheckpointError if the weights do not match the folder's config."""
        config = folder.config
        family = image_family(config.vision)
        shapes = family.shapes(config.vision, config.embed_dim)
        weights = Weights(folder.vision_file, "visual.", shapes)
        self.size = config.vision.image_size  # pixels a side
        self._dim = config.embed_dim
        self._mean = np.array(config.mean, np.float32) * 255
        self._std = np.array(config.std, np.float32) * 255
        self._tower = family.numpy(weights, config.vision)

    def encode(self, pixels: NDArray[np.uint8]) -> Floats:
        """Encode pixels (B, S, S, 3) from `preprocess.to_pixels`. Returns (B, D), unit norm.

        Raises ValueError for another size, ClipModelError for vectors that are not finite.
        """
        if pixels.ndim != 4 or pixels.shape[1:] != (self.size, self.size, 3):
            raise ValueError(
                f"pixels of shape (B, {self.size}, {self.size}, 3), not {pixels.shape}"
            )
        vectors = np.empty((len(pixels), self._dim), np.float32)
        for start in range(0, len(pixels), self.batch_size):
            some = slice(start, start + self.batch_size)
            vectors[some] = self._tower((pixels[some] - self._mean) / self._std)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(vectors).all():
            raise ClipModelError("the image tower's weights give vectors that are not numbers")
        return vectors
