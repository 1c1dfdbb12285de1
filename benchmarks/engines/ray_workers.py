"""Encoding on Ray: how it scales with workers, and what it costs on one machine.

Scaling: encoders that sleep as long as a device would compute, so that what is measured is the
pipeline around them. A real GPU is quicker than two cores can decode for; `RATE` is chosen so that
four encoders do not wait for this machine.

Ratio: `retrieve index --ray` with a cluster on this machine against `retrieve index`, each from the
difference of two runs, so that neither's start counts. They take turns.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.inputs import photos, small_photos
from benchmarks.harness.libraries import vit_b_32
from benchmarks.harness.report import Row
from benchmarks.harness.timing import retrieve
from clipmodel.pretrained import ModelFolder, resolve
from retrieval.catalog.reading import Catalog
from retrieval.decoding.pool import default_workers
from retrieval.indexing.cluster.placement import Cluster
from retrieval.indexing.cluster.session import ray_module
from retrieval.indexing.run import index
from retrieval.records import Progress

MODEL = "tiny"
RATE = 25.0  # pictures a second that a sleeping encoder takes
WORKERS = (1, 2, 4)
PER_WORKER = 500  # pictures
SMALL = (640, 480)
COUNTS, FEWER = (500, 2_500), (200, 1_000)  # pictures, with the small model and a larger one
ROUNDS = 5
HOW: dict[str, list[str]] = {"plain": [], "ray": ["--ray"]}


class SleepingEncoder:
    """Takes as long as a device of that rate, and gives unit vectors that mean nothing."""

    precision = "fp32"
    batch_size = 64
    slots = 1

    def __init__(self) -> None:
        self._dim = resolve(MODEL).config.embed_dim
        self._generator = np.random.default_rng(0)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        time.sleep(len(pixels) / RATE)
        vectors = self._generator.standard_normal((len(pixels), self._dim), dtype=np.float32)
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def scaling(folder: Path, quick: bool) -> Iterator[Row]:
    """Yield a row for each number of workers."""
    per_worker, model = 200 if quick else PER_WORKER, resolve(MODEL)
    small_photos(folder / "small", max(WORKERS) * per_worker)
    alone = None
    for workers in WORKERS[:2] if quick else WORKERS:
        pictures = folder / f"for-{workers}"
        link(folder / "small", pictures, workers * per_worker)
        rate, own = rate_of(folder / f"library-{workers}", pictures, model, workers)
        alone = alone or rate
        yield {
            "what": f"sleeping encoders of {RATE:g}/s",
            "workers": workers,
            "images/s": rate,
            "of linear": rate / (workers * alone),
            "own ms": own,
        }


def link(source: Path, target: Path, count: int) -> None:
    """Fill a folder with links to the first files of another."""
    target.mkdir()
    for number, path in enumerate(sorted(source.rglob("*.jpg"))[:count]):
        (target / f"{number:06}.jpg").hardlink_to(path)


def rate_of(library: Path, pictures: Path, model: ModelFolder, workers: int) -> tuple[float, float]:
    """Index these pictures with so many encoders. Return images per second between the first commit
    and the last before 85% of them, and milliseconds of this process's own CPU per image.
    """
    ray = ray_module()
    ray.init(
        num_cpus=default_workers(),
        num_gpus=workers,  # it is told so; an encoder takes one, and sleeps
        include_dashboard=False,
        log_to_driver=False,
    )
    seen = list[tuple[int, float, float]]()
    try:
        with closing(Catalog.open(library, create=True)) as catalog:
            cluster = Cluster("local")
            for step in index(catalog, [pictures], model, SleepingEncoder, cluster=cluster):
                if isinstance(step, Progress) and step.encoded > (seen[-1][0] if seen else 0):
                    seen.append((step.encoded, time.perf_counter(), time.process_time()))
    finally:
        ray.shutdown()
    most = 0.85 * seen[-1][0]  # at the end, some encoders wait for the others
    (first, began, before), (last, ended, after) = seen[0], [s for s in seen if s[0] <= most][-1]
    return (last - first) / (ended - began), 1000 * (after - before) / (last - first)


def ratio(folder: Path, quick: bool) -> Iterator[Row]:
    """Yield a row for a plain run and one for a cluster on this machine, with each model."""
    models = {MODEL: (MODEL, COUNTS)}
    if not quick:
        models["ViT-B/32"] = str(vit_b_32(folder / "model").path), FEWER
    for name, (model, counts) in models.items():
        counts = (50, 150) if quick else counts
        for count in counts:
            photos(folder / f"{count}", count, SMALL)
        rounds = [
            {how: _rate(folder, model, counts, options) for how, options in HOW.items()}
            for _ in range(1 if quick else ROUNDS)
        ]
        for how in HOW:
            yield {
                "what": f"{how}, 640×480, {name}, beyond the start",
                "workers": default_workers(),
                "images/s": median(each[how] for each in rounds),
                "of linear": median(each[how] / each["plain"] for each in rounds),  # of one minute
                "own ms": None,
            }


def _rate(folder: Path, model: str, counts: tuple[int, int], options: list[str]) -> float:
    """Return pictures a second, from the difference of two runs."""
    seconds = []
    for count in counts:
        library = folder / "library"
        ran = retrieve(
            "index", folder / f"{count}", "--model", model, "--library", library, *options
        )
        seconds.append(ran.seconds)
        shutil.rmtree(library)
    few, many = counts
    return (many - few) / (seconds[1] - seconds[0])
