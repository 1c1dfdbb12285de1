"""Towers alone: ours in several ways, OpenCLIP's, and the products that they consist of."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.gpu.plan import Plan, row, stated_peak
from benchmarks.harness import limits, peers
from benchmarks.harness.libraries import random_model
from benchmarks.harness.report import Row
from benchmarks.harness.timing import steady
from clipmodel.config import ModelConfig, VisionConfig
from clipmodel.model_folder import ModelFolder

if TYPE_CHECKING:
    from torch import Tensor, nn

LANES = 2  # threads that encode at once, as an index run has for a GPU


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
    from clipmodel.torch_backend.devices import DTYPES
    from clipmodel.torch_backend.image_encoder import ImageEncoder

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
    from clipmodel.torch_backend.devices import DTYPES
    from clipmodel.torch_backend.image_encoder import ImageEncoder
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
    parts = [part.numpy() for part in pixels.tensor_split(LANES)]
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
