"""The ids of vectors: a store names a moment of an image by one integer.

    id = image_id + (moment << 40)

So the id of a first moment is that of its image. A still picture has only moment 0.
"""

import numpy as np
from numpy.typing import NDArray

BITS = 40  # of an image's id
IMAGE = (1 << BITS) - 1


def vector_id(image_id: int, moment: int) -> int:
    return image_id + (moment << BITS)


def image_of(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the images of these vectors."""
    return ids & IMAGE
