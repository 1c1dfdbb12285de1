"""The stages of a run, composed as on a machine with GPUs, with nothing to decode or encode."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.harness.report import Row
from benchmarks.pipeline.canned import DIM, SIDE, NoDecoders, NullEncoder, decode
from clipmodel.pretrained import ModelFolder, resolve
from retrieval.catalog.reading import Catalog
from retrieval.decoding import malloc
from retrieval.decoding.pool import Pool
from retrieval.decoding.ring.memory import Ring
from retrieval.indexing.machine import Machine
from retrieval.indexing.options import MOVING
from retrieval.indexing.run import IndexRun

FEW, MANY = 2_000, 32_000  # pictures
PER_FOLDER = 1_000
DECODERS = 2
ROUNDS = 5
LOOP = 100_000  # times


class WithoutDecoders(Machine):
    """A machine whose decoding takes no time and no process."""

    def pool(self, ahead: int, ring: Callable[[], Ring | None]) -> Pool:
        return NoDecoders(ahead, ring)


def run(folder: Path, quick: bool) -> Iterator[Row]:
    malloc.keep_for_a_run()  # as `retrieve index`
    few, many = (1_000, 4_000) if quick else (FEW, MANY)
    for count in (few, many):
        sparse_files(folder / f"{count}", count)
    for devices, decoders in ((1, DECODERS), (2, DECODERS), (1, 0), (2, 0)):
        rounds = [
            beyond_the_start(folder, few, many, devices, decoders)
            for _ in range(1 if quick else ROUNDS)
        ]
        wall, own, loops = map(median, zip(*rounds, strict=True))
        yield {
            "decoders": decoders,
            "encoder processes": devices,
            "pictures/s": 1 / wall,
            "main process µs": own * 1e6,
            "loops": loops,
        }


def beyond_the_start(
    folder: Path, few: int, many: int, devices: int, decoders: int
) -> tuple[float, float, float]:
    """Return seconds a picture, seconds of this process's CPU, and these as turns of the loop,
    which is timed before and after: other programs on the host slow both.
    """
    loop = loop_seconds()
    wall, own = once(folder, few, devices, decoders)
    all_wall, all_own = once(folder, many, devices, decoders)
    loop = (loop + loop_seconds()) / 2
    more, cpu = many - few, all_own - own
    return (all_wall - wall) / more, cpu / more, cpu / more / loop


def sparse_files(folder: Path, count: int) -> None:
    """Make files that take no space, each of another size: none can be a copy of another."""
    for number in range(count):
        place = folder / f"{number // PER_FOLDER:03}"
        if number % PER_FOLDER == 0:
            place.mkdir(parents=True)
        with (place / f"{number:06}.jpg").open("wb") as file:
            file.truncate(1_000 + number)


def once(folder: Path, count: int, devices: int, decoders: int) -> tuple[float, float]:
    """Index so many files into a new library; return seconds, and seconds of this process's CPU."""
    model, library = pretended(), folder / "library"
    machine = Machine if decoders else WithoutDecoders
    with closing(Catalog.open(library, create=True)) as catalog:
        began, cpu = time.perf_counter(), time.process_time()
        loaders = {f"null:{number}": NullEncoder for number in range(devices)}
        parts = machine(model, DECODERS, None, decode).parts(catalog, loaders, None, None)
        with catalog.database.running() as tell:
            run = IndexRun(catalog, model, parts, 10**9, MOVING, tell)
            for _ in run.stages([folder / f"{count}"], (), False, None):
                pass
            for part in parts:
                part.close()
        taken = time.perf_counter() - began, time.process_time() - cpu
    shutil.rmtree(library)
    return taken


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
