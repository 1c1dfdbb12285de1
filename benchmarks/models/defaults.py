"""What each candidate for a new library's model costs: `python -m benchmarks.models.defaults`.

Random weights of the real shapes: seconds of one search's text tower, the first time and then, and
pictures a second in batches of 32. The first time, the weights are mapped and read.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.harness.libraries import random_model
from clipmodel.config import ModelConfig, Resize, SiglipVisionConfig, TextConfig, VisionConfig
from clipmodel.families import text_family
from clipmodel.hub.registry import OPENAI_MEAN, OPENAI_STD, REGISTRY
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.weights import Weights
from clipmodel.torch_backend.image_encoder import ImageEncoder

TOKENS = 8  # of “a red car on a beach”, with start and end
BATCH, BATCHES = 32, 4
_HALVES = (0.5, 0.5, 0.5)
CANDIDATES = {
    "ViT-B/32": REGISTRY["ViT-B/32"].config,
    "datacomp-b32-256": ModelConfig(
        512,
        VisionConfig(256, 32, 768, 12, 12, 3072, "gelu"),
        TextConfig(77, 49408, 512, 12, 8, 2048, "gelu"),
        OPENAI_MEAN,
        OPENAI_STD,
    ),
    "siglip2-b32-256": ModelConfig(
        768,
        SiglipVisionConfig(256, 32, 768, 12, 12, 3072, "gelu_tanh"),
        TextConfig(
            *(64, 256_000, 768, 12, 12, 3072, "gelu_tanh"),
            tokens="siglip2",
            causal=False,
            pool="last",
            epsilon=1e-6,
            biased=True,
        ),
        _HALVES,
        _HALVES,
        resize=Resize(256, "squash"),
        logit_bias=True,
    ),
}


def main() -> None:
    print(f"{'':18} {'MB here':>8} {'first query, ms':>16} {'query, ms':>10} {'images/s':>9}")
    for name, config in CANDIDATES.items():
        with tempfile.TemporaryDirectory() as place:
            files = {"pieces.model": b""} if config.text.vocabulary == "siglip2" else {}
            folder = random_model(Path(place) / "model", config, files=files)
            size = sum(path.stat().st_size for path in folder.path.iterdir())
            first, then = seconds_of_text(folder)
            rate = images_per_second(folder)
        print(f"{name:18} {size / 1e6:8.0f} {1e3 * first:16.0f} {1e3 * then:10.0f} {rate:9.1f}")


def seconds_of_text(folder: ModelFolder) -> tuple[float, float]:
    """Return what the first text takes, from opening the weights on, and the best of others."""
    text = folder.config.text
    family, length = text_family(text), text.context_length if text.sees_padding else TOKENS
    ids = np.random.default_rng(0).integers(1, text.vocab_size - 2, (1, length))

    def opened() -> Callable[..., object]:
        shapes = family.shapes(text, folder.config.embed_dim) | {"logit_scale": ()}
        shapes |= {"logit_bias": ()} if folder.config.logit_bias else {}
        return family.numpy(Weights(folder.text_file, "text.", shapes), text)

    start = perf_counter()
    tower = opened()
    tower(ids)
    first = perf_counter() - start
    return first, min(timed(lambda: tower(ids)) for _ in range(9))


def images_per_second(folder: ModelFolder) -> float:
    size = folder.config.vision.image_size
    pixels = np.zeros((BATCH, size, size, 3), np.uint8)
    encoder = ImageEncoder(folder, device="cpu")
    encoder.encode(pixels)
    return BATCH / min(timed(lambda: encoder.encode(pixels)) for _ in range(BATCHES))


def timed(work: Callable[[], object]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


if __name__ == "__main__":
    main()
