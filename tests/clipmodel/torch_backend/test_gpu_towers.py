"""The towers in their form for GPUs: the same vectors as model.py's, and fewer bytes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import traffic
from clipmodel.config import ModelConfig, VisionConfig
from clipmodel.hub.registry import REGISTRY
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.torch_backend.gpu_batches import GpuBatches, InOrder, padded
from clipmodel.torch_backend.gpu_convolutions import GpuConvolutions
from clipmodel.torch_backend.gpu_vit import GpuSiglip, GpuVit
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.torch_backend.inference import exact_products
from tests.clipmodel.small import (
    EFFICIENTNET_CONFIG,
    RESNET_CONFIG,
    SIGLIP_CONFIG,
    VIT_CONFIG,
    model_of,
)

Forward = Callable[[Tensor], Tensor]
# OpenAI's activation; patches that leave a rest, and whose values are no multiple of 8
UNEVEN = replace(
    VIT_CONFIG,
    vision=VisionConfig(38, 7, 64, 2, 4, 256, "quick_gelu"),
)
TOWERS = {
    "vit": (VIT_CONFIG, GpuVit),
    "uneven vit": (UNEVEN, GpuVit),
    "siglip": (SIGLIP_CONFIG, GpuSiglip),
    "resnet": (RESNET_CONFIG, GpuConvolutions),
    "efficientnet": (EFFICIENTNET_CONFIG, GpuConvolutions),
}


model = cache(model_of)


def bytes_of(config: ModelConfig, count: int) -> Tensor:
    side = config.vision.image_size
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def as_in_the_model(config: ModelConfig, pixels: Tensor) -> Tensor:
    """Unit vectors by model.py, from normalised pixels."""
    normalised = (pixels / 255 - torch.tensor(config.mean)) / torch.tensor(config.std)
    vectors = model(config).encode_image(normalised.permute(0, 3, 1, 2))
    return F.normalize(vectors, dim=1)


def for_gpus(family: str, dtype: torch.dtype, device: str = "cpu") -> Forward:
    config, kind = TOWERS[family]
    mean, std = torch.tensor(config.mean), torch.tensor(config.std)
    tower = deepcopy(model(config).visual)
    made: Forward = kind(tower, device, dtype, mean, std)
    return made


@pytest.mark.parametrize("family", TOWERS)
@torch.inference_mode()
def test_a_gpu_computes_what_the_model_does(family: str) -> None:
    config, _ = TOWERS[family]
    pixels = bytes_of(config, 5)
    pixels[0], pixels[1] = 0, 255  # the borders of a convolution are where a mean would show
    expected = as_in_the_model(config, pixels)
    single = for_gpus(family, torch.float32)(pixels)
    torch.testing.assert_close(F.normalize(single, dim=1), expected, atol=1e-5, rtol=0)
    for dtype, least in ((torch.bfloat16, 0.999), (torch.float16, 0.9999)):
        vectors = for_gpus(family, dtype)(pixels)
        assert vectors.dtype == dtype
        assert (F.normalize(vectors.float(), dim=1) * expected).sum(dim=1).min() > least


def test_a_gpu_reads_and_writes_less_than_ten_gigabytes_for_256_pictures() -> None:
    config = REGISTRY["ViT-B/32"].config
    work = traffic.of_tower(config, torch.float16, 256)
    assert work.bytes < 9e9  # 16.2e9 as model.py computes
    assert work.kernels < 140
    # Of the last block, keys and values are left, and what the class token needs.
    assert work.operations < 0.95 * 256 * config.vision.operations


@torch.inference_mode()
def test_batches_of_any_size_and_thread_get_their_own_vectors() -> None:
    pixels = bytes_of(VIT_CONFIG, 40)
    expected = as_in_the_model(VIT_CONFIG, pixels)
    sizes = list[int]()
    tower = for_gpus("vit", torch.float32)

    def forward(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        return tower(batch)

    batches = GpuBatches(forward, InOrder("cpu"), (16, 32, VIT_CONFIG.embed_dim))
    parts = [
        pixels[start : start + count] for start, count in ((0, 16), (16, 1), (17, 9), (26, 14))
    ]
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(batches, parts)]
    torch.testing.assert_close(torch.cat(found), expected, atol=1e-5, rtol=0)
    assert set(sizes) == {8, 16}
    assert [padded(count, 100) for count in (1, 8, 9, 64, 65, 100)] == [8, 8, 16, 64, 100, 100]


@torch.inference_mode()
def test_a_batch_that_fails_leaves_its_lane_to_the_next() -> None:
    faults = [torch.OutOfMemoryError("CUDA out of memory.")] * 3
    tower = for_gpus("vit", torch.float32)

    def forward(batch: Tensor) -> Tensor:
        if faults:
            raise faults.pop()
        return tower(batch)

    batches = GpuBatches(forward, InOrder("cpu"), (8, 32, VIT_CONFIG.embed_dim), lanes=1)
    pixels = bytes_of(VIT_CONFIG, 2)
    for _ in range(3):
        with pytest.raises(torch.OutOfMemoryError):
            batches(pixels)
    assert batches(pixels).shape == (2, VIT_CONFIG.embed_dim)


def test_float32_is_not_tensorfloat32_and_settings_come_back() -> None:
    def held() -> list[object]:
        parts: tuple[Any, Any] = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
        return [each.fp32_precision for each in parts]

    torch.backends.cuda.matmul.fp32_precision = "tf32"  # a program's own choice
    before = held()
    try:
        with exact_products():
            assert held() == ["ieee", "ieee"]
        assert held() == before
    finally:
        torch.backends.cuda.matmul.fp32_precision = "none"


# -- with a GPU ----------------------------------------------------------------------------------


@pytest.mark.cuda
@pytest.mark.parametrize("family", TOWERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_on_cuda(family: str, precision: str, tmp_path: Path) -> None:
    config, _ = TOWERS[family]
    folder = save_folder(tmp_path / "m", "m", config, model_of(config).state_dict())
    pixels = bytes_of(config, 600)
    expected = as_in_the_model(config, pixels[:40]).detach().numpy()
    encoder = ImageEncoder(folder, device="cuda", precision=precision)  # type: ignore[arg-type]
    together = encoder.encode(pixels.numpy())  # parts of 256, padded; graphs of two lanes
    least = {"fp32": 1 - 1e-6, "bf16": 0.999, "fp16": 0.9999}[precision]
    assert (together[:40] * expected).sum(axis=1).min() > least
    some = np.array_split(pixels.numpy(), [1, 9, 40, 300, 301])
    with ThreadPoolExecutor(4) as threads:
        apart = np.concatenate([*threads.map(encoder.encode, some)])
    assert (apart * together).sum(axis=1).min() > least


@pytest.mark.cuda
def test_flash_attention_takes_what_the_tower_gives_it() -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    config, _ = TOWERS["vit"]
    tower = for_gpus("vit", torch.float16, "cuda")
    with torch.inference_mode(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        assert tower(bytes_of(config, 4).cuda()).isfinite().all()


@pytest.mark.cuda
def test_a_gpu_with_little_memory(folder: ModelFolder) -> None:
    pixels = bytes_of(VIT_CONFIG, 256).numpy()
    whole = ImageEncoder(folder, device="cuda").encode(pixels)
    encoder = ImageEncoder(folder, device="cuda")
    encoder.encode(pixels[:8])  # its streams have cuBLAS's workspaces now
    torch.cuda.empty_cache()
    # Too little for a segment of torch's large blocks, enough for some of its small ones.
    held = torch.cuda.memory_reserved() + (12 << 20)
    try:
        torch.cuda.set_per_process_memory_fraction(held / torch.cuda.mem_get_info()[1])
        halved = encoder.encode(pixels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert encoder._fitting.together < 256
    assert (halved * whole).sum(axis=1).min() > 0.9999


@pytest.mark.cuda
def test_page_locked_pixels_are_read_in_place(folder: ModelFolder) -> None:
    encoder = ImageEncoder(folder, device="cuda")
    pixels = bytes_of(VIT_CONFIG, 32)
    locked = pixels.pin_memory().numpy()
    np.testing.assert_array_equal(encoder.encode(locked), encoder.encode(pixels.numpy()))
