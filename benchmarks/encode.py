"""The image tower alone, in images per second: ours, OpenCLIP's, Hugging Face's, ONNX Runtime's.

The limit for each is given by its matrix products alone, on this machine in the same precision.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import limits, peers
from benchmarks.harness.libraries import random_model
from benchmarks.harness.report import Row
from benchmarks.harness.timing import steady
from clipmodel.config import ModelConfig, VisionConfig
from clipmodel.hub.registry import REGISTRY
from clipmodel.model_folder import ModelFolder
from retrieval.decoding import malloc

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import CLIPVisionConfig

BATCHES = {"ViT-B/32": (1, 8, 32), "RN50": (1, 8, 32), "ViT-L/14": (1, 8)}
SECONDS = 3.0  # of each figure, at least
DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}

Vectors = NDArray[np.float32]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Figure:
    """A tower's rate. `cosine`: the lowest between its vectors and those that it makes in fp32."""

    who: str
    precision: str
    batch: int
    rate: float  # images/s
    cosine: float


def run(folder: Path, quick: bool) -> Iterator[Row]:
    malloc.keep(malloc.RUN_KEEPS_BYTES)  # as for `retrieve index`; the others get it, too
    for name, batches in [("ViT-B/32", (1, 8))] if quick else BATCHES.items():
        model = random_model(folder / name.replace("/", "-"), REGISTRY[name].config)
        task = Task(name, model, batches, 0.2 if quick else SECONDS)
        precisions, device = task.machine()
        fastest = {
            (precision, batch): batch
            / apart(limits.seconds, limits.products(model.config, batch), DTYPES[precision], device)
            for precision in precisions
            for batch in batches
        }
        for figures in (task.ours(), task.open_clip(), task.transformers(), task.onnx(folder)):
            for figure in apart(list[Figure], figures):
                yield row(name, figure, fastest.get((figure.precision, figure.batch)))


def apart(call: Callable[..., Result], *given: object) -> Result:
    """Run a call in a thread that ends with it.

    OpenMP gives each thread its own helpers. As soon as there are more helpers than cores, they
    sleep between two operations and wake up slowly.
    """
    from clipmodel.torch_backend.devices import cores
    from clipmodel.torch_backend.image_encoder import use_threads

    with ThreadPoolExecutor(1, initializer=use_threads, initargs=(cores(),)) as thread:
        return thread.submit(call, *given).result()


def row(model: str, figure: Figure, limit: float | None) -> Row:
    return {
        "model": model,
        "who": figure.who,
        "precision": figure.precision,
        "batch": figure.batch,
        "images/s": figure.rate,
        "limit images/s": limit,
        "of the limit": figure.rate / limit if limit else None,
        "least cos to fp32": f"{figure.cosine:.5f}",
    }


class Task:
    """A model, in every available implementation. Weights and pixels are random."""

    def __init__(
        self, name: str, model: ModelFolder, batches: tuple[int, ...], least: float
    ) -> None:
        self.name = name
        self.model = model
        self.batches = batches
        self.least = least  # seconds of each figure
        size = model.config.vision.image_size
        generator = np.random.default_rng(0)
        self.pixels = generator.integers(0, 256, (max(batches), size, size, 3), np.uint8)

    @property
    def openclip_name(self) -> str:
        return self.name.replace("/", "-") + "-quickgelu"

    def machine(self) -> tuple[list[str], str]:
        """Return the precisions worth trying here, float32 first, and the device."""
        from clipmodel.torch_backend.image_encoder import ImageEncoder

        chosen = ImageEncoder(self.model)
        return [*dict.fromkeys(["fp32", chosen.precision])], chosen.device

    def ours(self) -> Iterator[Figure]:
        from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
        from clipmodel.torch_backend.image_encoder import ImageEncoder

        def first(encoder: ImageEncoder | NumpyImageEncoder) -> Callable[[int], Vectors]:
            return lambda batch: encoder.encode(self.pixels[:batch])

        exact: Vectors | None = None
        for precision in self.machine()[0]:
            call = first(ImageEncoder(self.model, precision=precision))  # type: ignore[arg-type]
            exact = call(len(self.pixels)) if exact is None else exact
            yield from self._figures("retrieve", precision, call, exact, self.batches)
        assert exact is not None
        call, who = first(NumpyImageEncoder(self.model)), "retrieve, in NumPy for a search"
        yield from self._figures(who, "fp32", call, exact, self.batches[:1])

    def open_clip(self) -> Iterator[Figure]:
        if not peers.importable("open_clip"):
            return
        import open_clip

        tower = open_clip.create_model(self.openclip_name).eval()
        yield from self._of_torch("open_clip", tower, tower.encode_image)

    def transformers(self) -> Iterator[Figure]:
        config = self.model.config
        if not isinstance(config.vision, VisionConfig) or not peers.importable("transformers"):
            return
        from transformers import CLIPVisionModelWithProjection

        tower = CLIPVisionModelWithProjection(huggingface_config(config))
        tower.train(False)
        yield from self._of_torch("transformers", tower, lambda x: tower(pixel_values=x)[0])

    def onnx(self, folder: Path) -> Iterator[Figure]:
        """Measure ONNX Runtime, in a process of its own in the peers' environment."""
        name = self.openclip_name
        if not peers.has("onnxruntime") or not peers.export(name, folder / name):
            return
        size = self.model.config.vision.image_size
        said = peers.script(
            "onnx_encode.py", folder / name / "visual.onnx", size, self.least, *self.batches
        )
        for line in said.output.splitlines():
            held = json.loads(line)
            for batch, rate in zip(self.batches, held["rates"], strict=True):
                yield Figure("onnxruntime", held["precision"], batch, rate, held["cosine"])

    def _of_torch(
        self, who: str, tower: "nn.Module", encode: "Callable[[Tensor], Tensor]"
    ) -> Iterator[Figure]:
        import torch
        import torch.nn.functional as F

        precisions, device = self.machine()
        tower.to(device)
        pixels = torch.from_numpy(self.pixels).permute(0, 3, 1, 2).to(device) / 255 - 0.5
        exact: Vectors | None = None
        for precision in precisions:
            dtype = getattr(torch, DTYPES[precision])
            tower.to(dtype)
            batch_of = pixels.to(dtype)

            def call(batch: int) -> Vectors:
                with torch.inference_mode():
                    return F.normalize(encode(batch_of[:batch]).float()).cpu().numpy()  # noqa: B023

            exact = call(len(batch_of)) if exact is None else exact
            yield from self._figures(who, precision, call, exact, self.batches)

    def _figures(
        self,
        who: str,
        precision: str,
        call: Callable[[int], Vectors],
        exact: Vectors,
        batches: tuple[int, ...],
    ) -> Iterator[Figure]:
        """call: the vectors of so many of the pictures."""
        cosine = least_cosine(call(len(self.pixels)), exact)
        for batch in batches:
            rate = batch / steady(partial(call, batch), self.least)
            yield Figure(who, precision, batch, rate, cosine)


def huggingface_config(config: ModelConfig) -> "CLIPVisionConfig":
    from transformers import CLIPVisionConfig

    vision = config.vision
    assert isinstance(vision, VisionConfig)
    return CLIPVisionConfig(
        hidden_size=vision.width,
        intermediate_size=vision.mlp_width,
        projection_dim=config.embed_dim,
        num_hidden_layers=vision.layers,
        num_attention_heads=vision.heads,
        image_size=vision.image_size,
        patch_size=vision.patch_size,
        hidden_act=vision.activation,
    )


def least_cosine(vectors: Vectors, exact: Vectors) -> float:
    return float((vectors * exact).sum(axis=1).min())
