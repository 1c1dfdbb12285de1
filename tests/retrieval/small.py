"""A model small enough to know by heart, and pictures for it."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clipmodel.config import ModelConfig, ResNetConfig, TextConfig
from clipmodel.pretrained import ModelFolder
from retrieval.catalog.reading import Catalog
from retrieval.indexing.run import index
from retrieval.records import Progress, Summary
from retrieval.vectors.hubness import QueryBank

DATA = Path(__file__).parents[3] / "shared" / "data"
SIDE, DIM = 16, 12


def small_model(name: str = "small") -> ModelFolder:
    """No weights: only what the catalog and the decoders ask for."""
    config = ModelConfig(
        embed_dim=DIM,
        vision=ResNetConfig(image_size=SIDE, width=8, layers=(1, 1, 1, 1), heads=2),
        text=TextConfig(77, 100, 8, 1, 1, 8, "gelu"),
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
    return ModelFolder(Path("nowhere"), name, name.encode().hex().ljust(64, "0"), config)


class SmallEncoder:
    """The mean colours of four quarters of a picture, to unit length: deterministic and telling."""

    precision = "fp32"
    batch_size = 4
    slots = 2

    def __init__(self) -> None:
        self.pictures = 0
        self._counting = threading.Lock()

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        assert pixels.shape[1:] == (SIDE, SIDE, 3) and pixels.dtype == np.uint8
        assert 0 < len(pixels) <= self.batch_size
        with self._counting:
            self.pictures += len(pixels)
        half = SIDE // 2
        quarters = pixels.reshape(-1, 2, half, 2, half, 3).mean(axis=(2, 4))  # (B, 2, 2, 3)
        vectors = quarters.reshape(-1, DIM).astype(np.float32) + 1
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def small_query_bank() -> QueryBank:
    """What sentences might be in the small model's space."""
    vectors = np.random.default_rng(0).normal(size=(5, DIM)).astype(np.float32)
    return QueryBank(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def paint(path: Path, seed: int, size: tuple[int, int] = (40, 30), **options: Any) -> Path:
    """Save a picture that no other seed gives; the format is the extension's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    Image.fromarray(corners).resize(size, Image.Resampling.BILINEAR).save(path, **options)
    return path


def paint_many(folder: Path, count: int, first: int = 0) -> list[Path]:
    return [paint(folder / f"{seed:03d}.png", seed) for seed in range(first, first + count)]


def run_index(
    catalog: Catalog,
    paths: Sequence[Path],
    model: ModelFolder | None = None,
    encoder: SmallEncoder | None = None,
    workers: int = 0,
    exclude: Sequence[str] = (),
    query_bank: Callable[[], QueryBank] | None = None,
    again: bool = False,
) -> Summary:
    """One run to its end; the progress must be sound on the way."""
    encoder = encoder or SmallEncoder()
    run = index(
        catalog,
        paths,
        model or small_model(),
        lambda: encoder,
        workers=workers,
        exclude=exclude,
        again=again,
        query_bank=query_bank,
    )
    *steps, summary = run
    assert isinstance(summary, Summary)
    last = Progress(0, 0, 0)
    for step in steps:
        assert isinstance(step, Progress)
        assert last.done <= step.done <= step.total and last.total <= step.total
        last = step
    assert last.done == last.total and last.encoded == summary.encoded == encoder.pictures
    return summary


def contents(catalog: Catalog) -> dict[str, tuple[str, bytes] | str | None]:
    """All that a library knows, by path: digest and current vector, or why there is none."""
    query = """SELECT roots.path, files.path, images.digest, vector, failure FROM files
        JOIN roots ON roots.id = root_id LEFT JOIN images ON images.id = files.image_id
        LEFT JOIN embeddings ON embeddings.image_id = images.id
            AND model_id = (SELECT id FROM models WHERE is_current)"""
    return {
        os.fsdecode(os.path.join(root, path)): failure or (digest.hex(), vector)
        for root, path, digest, vector, failure in catalog.rows(query)
    }


def as_counts(summary: Summary) -> dict[str, int]:
    """What is not zero."""
    names = ("new", "changed", "moved", "copied", "removed", "failed", "unchanged", "encoded")
    return {name: getattr(summary, name) for name in names if getattr(summary, name)}
