"""Generated inputs, reproducible by seed: vectors distributed like CLIP's, folders of photos."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from indexes.recall import unit

TOPICS = 5_000
BATCH = 10_000
BASES = 8  # photos that are painted; the others are these, shifted: 12 megapixels take a second


class PictureLike:
    """Unit vectors that are distributed like CLIP's picture vectors.

    They form topics around a common mean of length 0.75, as ViT-B/32's do, and have a spectrum that
    falls as 1/sqrt(rank): directions are used unequally, without which IVF lists would be useless.
    """

    def __init__(self, dim: int) -> None:
        generator = np.random.default_rng(0)
        self.dim = dim
        self.scale = (1 / np.sqrt(np.arange(1, dim + 1))).astype(np.float32)
        self.mean = unit(generator.standard_normal(dim, dtype=np.float32))
        topics = generator.standard_normal((TOPICS, dim), dtype=np.float32)
        self.topics = unit(topics * self.scale)

    def draw(self, count: int, seed: int) -> NDArray[np.float32]:
        """Return vectors (count, D), unit norm."""
        generator = np.random.default_rng(seed)
        chosen = self.topics[generator.integers(0, TOPICS, count)]
        own = unit(generator.standard_normal((count, self.dim), dtype=np.float32) * self.scale)
        return unit(0.75 * self.mean + 0.66 * unit(chosen + 0.8 * own))

    def batches(
        self, count: int, seed: int = 1
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        """Yield ids from 1 to `count` and vectors, some at a time."""
        for start in range(0, count, BATCH):
            size = min(BATCH, count - start)
            ids = np.arange(start + 1, start + 1 + size)
            yield ids, self.draw(size, seed + start).astype(np.float16)


def photos(folder: Path, count: int, size: tuple[int, int], quality: int = 85) -> None:
    """Fill `folder` with distinct JPEGs that compress about as well as photos do."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    bases = [photo(generator, size) for _ in range(min(count, BASES))]
    for number in range(count):
        moved = (int(generator.integers(0, side)) for side in size)
        image = ImageChops.offset(bases[number % BASES], *moved)
        image.save(folder / f"{number:06}.jpg", quality=quality)


def photo(generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Return smooth shapes of a few scales with a little noise, RGB, `size` (width, height)."""
    layers = np.zeros((size[1], size[0], 3), np.float32)
    for cells, weight in ((4, 0.5), (16, 0.3), (64, 0.2)):
        coarse = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layers += weight * np.asarray(
            Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        )
    layers += generator.normal(0, 4, layers.shape)
    return Image.fromarray(layers.clip(0, 255).astype(np.uint8))


def small_photos(folder: Path, count: int) -> None:
    """Fill `folder` with distinct JPEGs of 64×64 pixels: many files, little to decode."""
    generator = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"{number // 1000:03}" / f"{number:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((64, 64)).save(path)
