"""How much of the exact answer an approximate search finds, when asked as people ask: in words."""

import numpy as np
from numpy.typing import NDArray

# Of 500 captions and their 100 photos under OpenAI's ViT-B/32, both centred on their means: cosine
# of a caption to its own photo, and to the directions in which photos differ at all (chosen so that
# scores spread as those of captions do, by 0.045; best scores are 0.328 there, 0.324 here).
LEAN_TO_OWN = 0.32
LEAN_TO_PHOTOS = 0.40
MEAN_COSINE = 0.33  # between the mean of the captions and that of the photos
MEAN_SHARE = 0.71  # length of the mean caption; the centred rest of each has 0.70


def recall(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """The share of the ids in `exact` (Q, k) that `found` (Q, k) has in the same row."""
    hits = [np.isin(truth, row).sum() for truth, row in zip(exact, found, strict=True)]
    return float(np.sum(hits)) / exact.size


def text_like(
    images: NDArray[np.float32], count: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Queries (count, D), unit norm, as far off the vectors `images` (N, D) as captions lie.

    A search that is tuned with pictures as its queries loses the answers of captions.
    """
    mean = images.mean(axis=0)
    centred = images - mean
    own = unit(centred[generator.integers(len(images), size=count)])
    mix = generator.standard_normal((count, len(images)), dtype=np.float32)
    photos = unit(mix @ centred)  # (count, N) @ (N, D): as photos vary, but of no photo
    off = unit(generator.standard_normal(own.shape, dtype=np.float32))
    gap = unit(generator.standard_normal(mean.shape, dtype=np.float32))
    common = MEAN_COSINE * unit(mean) + (1 - MEAN_COSINE**2) ** 0.5 * gap
    elsewhere = (1 - LEAN_TO_PHOTOS**2) ** 0.5
    among = (LEAN_TO_PHOTOS**2 - LEAN_TO_OWN**2) ** 0.5
    rest = LEAN_TO_OWN * own + among * photos + elsewhere * off
    return unit(MEAN_SHARE * common + (1 - MEAN_SHARE**2) ** 0.5 * unit(rest))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same directions (..., D) at length 1; a zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return scaled
