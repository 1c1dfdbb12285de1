"""The stages of a run, composed as on a machine with GPUs, with nothing to decode or encode."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from benchmarks.harness.report import Row
from benchmarks.pipeline.canned import DIM, SIDE, NullEncoder, decode
from clipmodel.pretrained import ModelFolder, resolve
from retrieval.catalog.reading import Catalog
from retrieval.indexing.machine import Machine
from retrieval.indexing.options import MOVING
from retrieval.indexing.run import IndexRun

PICTURES = 30_000
PER_FOLDER = 1_000
WORKERS = 2
ROUNDS = 3
LOOP = 100_000  # times


def run(folder: Path, quick: bool) -> Iterator[Row]:
    count = PICTURES // 10 if quick else PICTURES
    sparse_files(folder / "photos", count)
    for devices in (1, 2):
        rounds = [
            once(folder / f"library-{devices}-{number}", folder / "photos", devices)
            for number in range(1 if quick else ROUNDS)
        ]
        wall, own = map(min, zip(*rounds, strict=True))
        loop = loop_seconds()
        yield {
            "encoder processes": devices,
            "pictures": count,
            "pictures/s": count / wall,
            "main process µs": own / count * 1e6,
            "loops": own / count / loop,
        }


def sparse_files(folder: Path, count: int) -> None:
    """Make files that take no space, each of another size: none can be a copy of another."""
    for number in range(count):
        place = folder / f"{number // PER_FOLDER:03}"
        if number % PER_FOLDER == 0:
            place.mkdir(parents=True)
        with (place / f"{number:06}.jpg").open("wb") as file:
            file.truncate(1_000 + number)


def once(library: Path, photos: Path, devices: int) -> tuple[float, float]:
    """Index the files into a new library; return seconds, and seconds of this process's CPU."""
    model = pretended()
    with closing(Catalog.open(library, create=True)) as catalog:
        began, cpu = time.perf_counter(), time.process_time()
        loaders = {f"null:{number}": NullEncoder for number in range(devices)}
        parts = Machine(model, WORKERS, None, decode).parts(catalog, loaders, None, None)
        with catalog.database.running() as tell:
            run = IndexRun(catalog, model, parts, 10**9, MOVING, tell)
            for _ in run.stages([photos], (), False, None):
                pass
            for part in parts:
                part.close()
        return time.perf_counter() - began, time.process_time() - cpu


def pretended() -> ModelFolder:
    """Return a model that is never loaded, with the shapes of ViT-B/32."""
    model = resolve("tiny")
    vision = replace(model.config.vision, image_size=SIDE)
    return replace(model, config=replace(model.config, embed_dim=DIM, vision=vision))


def loop_seconds() -> float:
    """Time a turn of a loop of plain Python that makes, stores and reads small objects."""
    held: dict[int, tuple[int, str]] = {}
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for number in range(LOOP):
            held[number & 1023] = number, str(number)
        best = min(best, time.perf_counter() - began)
    return best / LOOP
