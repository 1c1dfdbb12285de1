"""A GPU at work: towers against what its products allow, and indexing against decoding alone.

Everything is done within ten minutes, and each row is told as soon as it is known, so that a run
that is cut off is not lost. Without a GPU, and with --quick, it runs on the CPU with a small model,
to check itself. Weights are random.

`of the peak` is the share of the processor's dense bf16 peak as its maker states it; `of the
products` that of the rate at which the products with weights alone run, one after another, in the
same shapes and precision. Bytes and operations are counted (see harness/traffic.py), not measured.
"""

import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import limits, peers
from benchmarks.harness.inputs import photos
from benchmarks.harness.libraries import SMALL, random_model
from benchmarks.harness.report import Row, shown
from benchmarks.harness.timing import steady
from clipmodel.config import ModelConfig, VisionConfig
from clipmodel.hub.registry import REGISTRY
from clipmodel.model_folder import ModelFolder
from retrieval.decoding import decode
from retrieval.decoding.pool import default_workers
from retrieval.wording import counted

if TYPE_CHECKING:
    from torch import Tensor, nn

PEAKS = {  # bf16 FLOP/s, dense, as NVIDIA's data sheets state them; the first name that fits counts
    **{"H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12},
    **{"A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10": 125e12, "RTX 4090": 165e12},
}
CLIP_RETRIEVAL_A100 = 2_500.0  # images/s with ViT-B/32, as its README states it
LANES = 2  # threads that encode at once, as an index run has for a GPU
SECONDS_IN_ALL = 540.0


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long."""

    device: str
    precisions: tuple[str, ...]
    models: dict[str, ModelConfig]
    batch: int
    seconds: float  # of each figure, at least
    pictures: tuple[int, int]  # of a short and of a long index run
    photos: int  # that differ in their pixels
    workers: int
    product: int  # side of the matrices that show the peak

    @property
    def seconds_of_a_product(self) -> float:
        return min(0.2, self.seconds)


def plan_of(quick: bool) -> Plan:
    from clipmodel.torch_backend.devices import default_device

    device, names = default_device(), ("ViT-B/32", "ViT-L/14")
    models = {name: REGISTRY[name].config for name in names}
    full = Plan(device, ("fp16", "bf16"), models, 256, 3.0, (4_000, 40_000), 1_000, 0, 8_192)
    if quick:
        few = replace(full, models={"small": SMALL}, batch=8, seconds=0.02, pictures=(8, 24))
        full = replace(few, photos=4, product=128)
    cpu = device == "cpu"
    precisions = ("fp32", "bf16") if cpu else full.precisions
    return replace(full, precisions=precisions, workers=1 if quick else default_workers())


def run(folder: Path, quick: bool) -> Iterator[Row]:
    plan, began = plan_of(quick), time.monotonic()
    yield told(peak(plan))
    first, *others = plan.models
    towers = {name: partial(tower_rows, plan, name, folder) for name in plan.models}
    for step in (towers[first], partial(whole_rows, plan, folder), *map(towers.get, others)):
        assert step is not None
        if time.monotonic() - began > SECONDS_IN_ALL:
            yield told(row("left out: the time is up"))
            return
        yield from map(told, step())


def row(what: str, model: str = "", rate: float | None = None, **more: float | str | None) -> Row:
    columns = ("precision", "TFLOP/s", "of the peak", "of the products", "GB per 256", "least cos")
    return {"what": what, "model": model, "images/s": rate} | {
        column: more.get(column) for column in columns
    }


def told(each: Row) -> Row:
    known = (f"{column}: {shown(cell)}" for column, cell in each.items() if cell not in (None, ""))
    click.echo("  ".join(known), err=True)
    return each


# -- the device ----------------------------------------------------------------------------------


def title(device: str) -> str:
    from clipmodel.torch_backend.devices import report

    return report(device, False).title


def stated_peak(device: str) -> float | None:
    """Return the operations a second that the maker states, for a device that is known."""
    found = (peak for name, peak in PEAKS.items() if name in title(device).replace("-", " "))
    return next(found, None) if device != "cpu" else None


def peak(plan: Plan) -> Row:
    """Measure a large product in bfloat16."""
    side = plan.product
    square = side, side, side
    seconds = limits.product_seconds(square, "bfloat16", plan.device, plan.seconds_of_a_product)
    reached, stated = 2 * side**3 / seconds, stated_peak(plan.device)
    return row(
        f"a product of {side}×{side} on {title(plan.device)}",
        precision="bf16",
        **{"TFLOP/s": reached / 1e12, "of the peak": reached / stated if stated else None},
    )


# -- towers --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tower:
    """A model in one precision on the device, and what its rates are compared with."""

    plan: Plan
    name: str
    folder: ModelFolder
    precision: str

    @property
    def dtype(self) -> str:
        return {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[self.precision]

    def products(self) -> float:
        """Measure the products with weights alone; return pictures a second."""
        products = limits.products(self.folder.config, self.plan.batch)
        how = self.dtype, self.plan.device, self.plan.seconds_of_a_product
        return self.plan.batch / limits.seconds(products, *how)

    def pixels(self, batches: int = 1) -> NDArray[np.uint8]:
        side = self.folder.config.vision.image_size
        shape = (batches * self.plan.batch, side, side, 3)
        return np.random.default_rng(0).integers(0, 256, shape, np.uint8)

    def alone(self, call: "Callable[[Tensor], Tensor]", pixels: "Tensor") -> float:
        """Return the pictures a second of a function whose input is on the device."""
        import torch

        times = 8 if self.plan.device.startswith("cuda") else 1

        def calls() -> None:
            for _ in range(times):
                call(pixels)
            if times > 1:
                torch.cuda.synchronize()

        with torch.inference_mode():
            return times * len(pixels) / steady(calls, self.plan.seconds)


def tower_rows(plan: Plan, name: str, folder: Path) -> Iterator[Row]:
    from benchmarks.harness.traffic import of_tower
    from clipmodel.torch_backend.image_encoder import DTYPES, ImageEncoder

    model = random_model(folder / name.replace("/", "-"), plan.models[name])
    exact = ImageEncoder(model, device="cpu", precision="fp32")
    stated = stated_peak(plan.device)
    for precision in plan.precisions:
        tower = Tower(plan, name, model, precision)
        work = of_tower(model.config, DTYPES[precision], plan.batch)
        operations, products = work.operations / plan.batch, tower.products()
        gigabytes = work.bytes / plan.batch * 256 / 1e9
        for who, rate, cosine in figures(tower, exact):
            reached = rate * operations
            yield row(
                who,
                name,
                rate,
                precision=precision,
                **{
                    "TFLOP/s": reached / 1e12,
                    "of the peak": reached / stated if stated else None,
                    "of the products": rate / products,
                    "GB per 256": gigabytes if who.startswith("retrieve") else None,
                    "least cos": None if cosine is None else f"{cosine:.5f}",
                },
            )
        yield row("products with weights alone", name, products, precision=precision)


def figures(tower: Tower, exact: object) -> Iterator[tuple[str, float, float | None]]:
    """Yield who computes, pictures a second, and the lowest cosine to float32 on the CPU."""
    import torch

    from clipmodel.families import image_family
    from clipmodel.torch_backend.image_encoder import DTYPES, ImageEncoder
    from clipmodel.torch_backend.inference import Setup
    from clipmodel.torch_backend.loading import load_image_tower

    plan, config, dtype = tower.plan, tower.folder.config, DTYPES[tower.precision]
    assert isinstance(exact, ImageEncoder)
    encoder = ImageEncoder(tower.folder, device=plan.device, precision=tower.precision)  # type: ignore[arg-type]
    some = tower.pixels()[:16]
    cosine = float((encoder.encode(some) * exact.encode(some)).sum(axis=1).min())
    rate = encoding(encoder.encode, torch.from_numpy(tower.pixels(LANES)), plan)
    yield "retrieve, from memory to memory", rate, cosine
    if plan.device.startswith("cuda"):
        locked = torch.from_numpy(tower.pixels(LANES)).pin_memory()
        yield "retrieve, from page-locked memory", encoding(encoder.encode, locked, plan), None
    with torch.no_grad():
        setup = Setup(plan.device, dtype, torch.tensor(config.mean), torch.tensor(config.std))
        quick = image_family(config.vision).quick(load_image_tower(tower.folder), setup)
    pixels = torch.from_numpy(tower.pixels()).to(plan.device)
    yield "retrieve, launched kernel by kernel", tower.alone(quick, pixels), None
    if peers.importable("open_clip"):
        theirs = open_clip_tower(config).to(plan.device, dtype)
        normalised = (pixels.permute(0, 3, 1, 2) / 255 - 0.5).to(dtype)
        yield "open_clip's tower, normalised pixels", tower.alone(theirs, normalised), None


def encoding(
    encode: Callable[[NDArray[np.uint8]], NDArray[np.float32]], pixels: "Tensor", plan: Plan
) -> float:
    """Return the pictures a second of threads that encode a batch each, time after time."""
    parts = [part.numpy() for part in pixels.split(plan.batch)]
    times = 8 if plan.device.startswith("cuda") else 1
    with ThreadPoolExecutor(len(parts)) as threads:

        def calls() -> None:
            list(threads.map(lambda part: [encode(part) for _ in range(times)], parts))

        return times * len(pixels) / steady(calls, plan.seconds)


def open_clip_tower(config: ModelConfig) -> "nn.Module":
    """Return OpenCLIP's image tower of this shape, with random weights."""
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    vision = config.vision
    assert isinstance(vision, VisionConfig)
    shape = CLIPVisionCfg(
        layers=vision.layers,
        width=vision.width,
        head_width=vision.width // vision.heads,
        mlp_ratio=vision.mlp_width / vision.width,
        patch_size=vision.patch_size,
        image_size=vision.image_size,
    )
    is_quick = vision.activation == "quick_gelu"
    return _build_vision_tower(config.embed_dim, shape, is_quick).eval()  # type: ignore[no-any-return]


# -- from files to vectors -----------------------------------------------------------------------


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

    from clipmodel.torch_backend.image_encoder import DTYPES

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
