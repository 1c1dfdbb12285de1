"""A search by words, in a cold process and in a warm one, among 1 k, 100 k and 1 M pictures.

The page cache is warm, the model a ViT-B/32 with random weights, the catalogs are filled directly.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.libraries import filled, vit_b_32
from benchmarks.report import Cell, Row
from benchmarks.timing import Times, repeat, retrieve
from benchmarks.timing import run as run_process
from clipmodel.model_folder import ModelFolder
from retrieval import Library

COUNTS = (1_000, 100_000, 1_000_000)
COLD = 9  # processes
WARM = 50  # searches in one
BATCH = 64  # queries at once
WORDS = ("red", "car", "dog", "snow", "night", "house", "boat", "street", "flower", "three")


def run(folder: Path, quick: bool) -> Iterator[Row]:
    model = vit_b_32(folder / "model")
    bare = Times(tuple(run_process([sys.executable, "-c", ""]).seconds for _ in range(COLD)))
    for count in COUNTS[:2] if quick else COUNTS:
        library = folder / f"library-{count}"
        filled(library, model, count)
        yield (
            {"pictures": count}
            | cold(library)
            | {"python alone s": bare.p50}
            | warm(library, model)
        )
        shutil.rmtree(library)


def cold(library: Path) -> dict[str, Cell]:
    """`retrieve search` as typed at a prompt, from the process's start to its end."""
    command = ("search", "a red car in the snow", "--paths", "--library", library)
    retrieve(*command)  # to have the page cache warm
    ran = [retrieve(*command) for _ in range(COLD)]
    times = Times(tuple(each.seconds for each in ran))
    return {
        "cold p50 s": times.p50,
        "cold max s": max(times.seconds),
        "own MB": megabytes(max(each.own or 0 for each in ran)),
        "resident MB": megabytes(max(each.resident or 0 for each in ran)),
    }


def warm(folder: Path, model: ModelFolder) -> dict[str, Cell]:
    """In one process: of one query after another, all different, and of many at once."""
    generator = np.random.default_rng(0)
    asked = [" ".join(generator.choice(WORDS, 5)) for _ in range(WARM + 1)]
    with Library.open(folder) as library:
        each = iter(asked)
        times = repeat(lambda: library.search(next(each)), WARM)
        batch = [" ".join(generator.choice(WORDS, 5)) for _ in range(BATCH)]
        together = repeat(lambda: library.search(batch), 3)
    return {
        "warm p50 ms": 1e3 * times.p50,
        "warm p99 ms": 1e3 * times.p99,
        f"queries/s, {BATCH} at once": BATCH / together.p50,
    }


def megabytes(size: int) -> float | None:
    return size / 1e6 if size else None
