"""The recall of an approximate search, and queries to measure it with that are like captions."""

import numpy as np
from numpy.typing import NDArray

# From 500 captions and their 100 photos under OpenAI's ViT-B/32, each centred on its mean: the
# cosine of a caption to its own photo, and to the directions in which photos vary. The second is
# chosen so that scores spread as captions' do, by 0.045 (best scores: 0.328 there, 0.324 here).
LEAN_TO_OWN = 0.32
LEAN_TO_PHOTOS = 0.40
MEAN_COSINE = 0.33  # between the mean of the captions and that of the photos
MEAN_LENGTH = 0.71  # of the mean caption; the centred rest of each caption has 0.70


def recall(found: NDArray[np.int64], exact: NDArray[np.int64]) -> float:
    """Return the fraction of the ids in `exact` (Q, k) that `found` (Q, k) has in the same row."""
    hits = [np.isin(truth, row).sum() for truth, row in zip(exact, found, strict=True)]
    return float(np.sum(hits)) / exact.size


def text_like(
    images: NDArray[np.float32], count: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Return queries (count, D), unit norm, as far from the vectors `images` (N, D) as captions.

    A search that is tuned with pictures as queries misses answers to captions.
    """
    mean = images.mean(axis=0)
    centred = images - mean
    own = unit(centred[generator.integers(len(images), size=count)])
    mix = generator.standard_normal((count, len(images)), dtype=np.float32)
    photos = unit(mix @ centred)  # (count, N) @ (N, D): varies as photos do, but is none
    off = unit(generator.standard_normal(own.shape, dtype=np.float32))
    gap = unit(generator.standard_normal(mean.shape, dtype=np.float32))
    common = MEAN_COSINE * unit(mean) + (1 - MEAN_COSINE**2) ** 0.5 * gap
    elsewhere = (1 - LEAN_TO_PHOTOS**2) ** 0.5
    among = (LEAN_TO_PHOTOS**2 - LEAN_TO_OWN**2) ** 0.5
    rest = LEAN_TO_OWN * own + among * photos + elsewhere * off
    return unit(MEAN_LENGTH * common + (1 - MEAN_LENGTH**2) ** 0.5 * unit(rest))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors (..., D) to length 1; a zero stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return scaled
