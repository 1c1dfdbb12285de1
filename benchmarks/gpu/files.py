"""From files to vectors: decoding alone, index runs, and a loop as OpenCLIP's users write it."""

import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu.plan import Plan, row
from benchmarks.gpu.towers import open_clip_tower
from benchmarks.harness import peers
from benchmarks.harness.inputs import photos
from benchmarks.harness.libraries import random_model
from benchmarks.harness.report import Row
from clipmodel.config import ModelConfig
from clipmodel.model_folder import ModelFolder
from retrieval.decoding import decode
from retrieval.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

CLIP_RETRIEVAL_A100 = 2_500.0  # images/s with ViT-B/32, as its README states it


def whole_rows(plan: Plan, folder: Path) -> Iterator[Row]:
    """Measure decoding alone, index runs, and a loop as OpenCLIP's users write it."""
    name = next(iter(plan.models))
    model = random_model(folder / "whole", plan.models[name])
    paths = many(folder / "photos", *plan.pictures, plan.photos)
    side = model.config.vision.image_size
    processes = counted(plan.workers, "process", "processes")
    yield row(f"decoding alone, in {processes}", name, decoding(plan, paths, side))
    for precision in plan.precisions[:1]:
        rate = indexing(plan, folder, model, precision)
        yield row("retrieve index, JPEGs of 640×480", name, rate, precision=precision)
        if peers.importable("open_clip"):
            rate = loop(plan, paths[: plan.pictures[0]], model.config, precision)
            yield row("open_clip, DataLoader and a loop", name, rate, precision=precision)
    if plan.device.startswith("cuda"):
        yield row("clip-retrieval on an A100, as published", name, CLIP_RETRIEVAL_A100)


def many(folder: Path, short: int, long: int, distinct: int) -> list[Path]:
    """Write JPEGs into `folder`/short and `folder`/long; return the paths of the long run.

    Few differ in their pixels, since painting takes longer than indexing; all differ in a number
    behind their end, which no decoder reads.
    """
    photos(folder / "distinct", distinct, (640, 480))
    held = [path.read_bytes() for path in sorted((folder / "distinct").iterdir())]
    paths = list[Path]()
    for number in range(short + long):
        place = folder / ("short" if number < short else "long") / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"{number:06}.jpg"
        path.write_bytes(held[number % distinct] + number.to_bytes(8))
        paths.append(path)
    return paths[short:]


def decoding(plan: Plan, paths: Sequence[Path], side: int) -> float:
    """Return the pictures a second that all worker processes decode, with nothing else to do."""
    context = multiprocessing.get_context("spawn")
    parts = [paths[start :: 4 * plan.workers] for start in range(4 * plan.workers)]
    with ProcessPoolExecutor(plan.workers, context) as pool:
        list(pool.map(_decode, [paths[:2]] * plan.workers, [side] * plan.workers))  # starts them
        start = time.perf_counter()
        list(pool.map(_decode, parts, [side] * len(parts)))
        return len(paths) / (time.perf_counter() - start)


def _decode(paths: Sequence[Path], side: int) -> None:
    for path in paths:
        decode.decode(path.read_bytes(), side)


def indexing(plan: Plan, folder: Path, model: ModelFolder, precision: str) -> float:
    """Return the pictures a second of a long index run beyond those of a short one.

    The difference leaves out what happens once: loading, and the recording of CUDA graphs.
    """
    places = [folder / "photos" / each for each in ("short", "long")]
    seconds = [index_seconds(plan, place, model, precision) for place in places]
    short, long = plan.pictures
    further = seconds[1] - seconds[0]
    return (long - short) / further if further > 0 else long / seconds[1]


def index_seconds(plan: Plan, pictures: Path, model: ModelFolder, precision: str) -> float:
    from retrieval import Library

    place = pictures.with_name(f"{pictures.name} library")
    with Library.open(place) as library:
        start = time.perf_counter()
        summary = library.index(
            pictures,
            model=model.path,
            device=plan.device,
            precision=precision,  # type: ignore[arg-type]
            workers=plan.workers,
        )
        seconds = time.perf_counter() - start
    shutil.rmtree(place)
    assert summary.encoded == sum(len(files) for _, _, files in os.walk(pictures)), summary
    return seconds


def loop(plan: Plan, paths: Sequence[Path], config: ModelConfig, precision: str) -> float:
    """Return the pictures a second of a plain loop over what DataLoader's processes decode."""
    import torch
    from open_clip.transform import image_transform
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from clipmodel.torch_backend.devices import DTYPES

    side = config.vision.image_size
    transform = image_transform(side, is_train=False, mean=config.mean, std=config.std)

    class Files(Dataset["Tensor"]):
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, number: int) -> "Tensor":
            made: Tensor = transform(Image.open(paths[number]).convert("RGB"))
            return made

    is_gpu, dtype = plan.device.startswith("cuda"), DTYPES[precision]
    tower = open_clip_tower(config).to(plan.device, dtype)
    workers = plan.workers if is_gpu else 0
    start = time.perf_counter()
    with torch.inference_mode():
        for batch in DataLoader(Files(), plan.batch, num_workers=workers, pin_memory=is_gpu):
            vectors = tower(batch.to(plan.device, dtype, non_blocking=True))
            torch.nn.functional.normalize(vectors.float(), dim=1).cpu()
    return len(paths) / (time.perf_counter() - start)
