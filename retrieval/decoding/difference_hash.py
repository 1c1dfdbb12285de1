"""The difference hash of a picture: 64 bits, nearly all of which a smaller, greyer, brighter or
worse copy has in common with it, whatever the model makes of the copy.

As Krawetz 2013: the picture as 8 rows of 9 grey cells, a bit for each cell that is darker than the
next one. Plain means over the cells, unrounded, keep most bits through scaling and saving, and
make the hash of the mirrored picture follow from the picture's own. What has no pattern (a uniform
picture, a gradient, a light in the dark) has a hash in common with strangers; it gets NOTHING.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 8
NOTHING = bytes(SIDE)  # says nothing, and is near to no other

# Of 8,091 photos 1.3 % have less; of those and of 6,000 pictures of Tiny ImageNet no two that
# differ have more and are within 3 bits. Without these bounds nine pairs are.
LEAST_CHANGES = 8  # of bits from row to row, and from column to column
LEAST_STEPS = 24  # from cell to cell, of a grey level or more


def difference_hash(picture: Image.Image) -> bytes:
    """The hash of a whole picture, RGB and upright, of any size."""
    cells = np.asarray(
        picture.convert("L").convert("F").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    )
    steps: NDArray[np.float32] = cells[:, 1:] - cells[:, :-1]  # (8, 8)
    bits = steps > 0
    down = np.count_nonzero(bits[1:] != bits[:-1])
    across = np.count_nonzero(bits[:, 1:] != bits[:, :-1])
    is_plain = np.count_nonzero(np.abs(steps) >= 1) < LEAST_STEPS
    if is_plain or min(down, across) < LEAST_CHANGES:
        return NOTHING
    return np.packbits(bits).tobytes()
