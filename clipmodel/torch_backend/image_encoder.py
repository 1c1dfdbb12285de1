"""The image tower, in batches on a device: uint8 pixels in, unit vectors out."""

from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from clipmodel.errors import ClipModelError
from clipmodel.families import image_family
from clipmodel.model_folder import ModelFolder
from clipmodel.pools import Threads, UnderWay
from clipmodel.torch_backend.inference import Setup
from clipmodel.torch_backend.loading import default_device, load_image_tower

Precision = Literal["auto", "fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
CORE_BATCH, GPU_BATCH = 16, 256  # pictures that go through a tower together


class ImageEncoder:
    """Pictures -> unit vectors. Any number of threads may encode at once.

    `slots` threads keep the device busy, each with its part of `batch_size` pictures: on a CPU one
    for each core, so that none waits for the others after every product; on a GPU two, so that the
    next pictures are ready when it has finished some. Small batches are divided among the cores,
    and a single picture has all cores for each product.
    """

    def __init__(
        self, folder: ModelFolder, *, device: str | None = None, precision: Precision = "auto"
    ) -> None:
        """device: "cpu", "cuda", "cuda:1", "mps"; by default the first CUDA device if there is one.

        precision: "auto" is fp16 on CUDA, bf16 on a CPU that multiplies it natively, else fp32.
        Raises CheckpointError if the weights do not match the folder's config, and ClipModelError
        if the machine has no such device.
        """
        self.device = device or default_device()
        self.precision = _precision(self.device) if precision == "auto" else precision
        is_cpu = self.device == "cpu"
        self._cores = cores() if is_cpu else 1
        self.slots = self._cores if is_cpu else 2
        self._together = CORE_BATCH if is_cpu else GPU_BATCH
        self.batch_size = self._together * self.slots
        self._size = folder.config.vision.image_size
        self._threads = Threads(self._cores, "core", use_threads, (1,))
        self._all_cores = Threads(1, "cores", use_threads, (self._cores,))
        self._calls = UnderWay()
        try:
            self._forward = self._threads.submit(self._prepared, folder).result()
        except (RuntimeError, AssertionError) as error:
            raise ClipModelError(f"cannot use the device {self.device!r}: {error}") from error

    @torch.no_grad()
    def _prepared(self, folder: ModelFolder) -> "Callable[[Tensor], Tensor]":
        """Return the quick tower: pixels (B, S, S, 3) -> embeddings (B, D)."""
        config = folder.config
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        setup = Setup(self.device, DTYPES[self.precision], mean, std)
        return image_family(config.vision).quick(load_image_tower(folder), setup)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode pixels (B, S, S, 3) from `preprocess.to_pixels`. Returns (B, D), unit norm.

        Raises ValueError for another size, ClipModelError for vectors that are not finite.
        """
        if pixels.ndim != 4 or pixels.shape[1:] != (self._size, self._size, 3):
            raise ValueError(
                f"pixels of shape (B, {self._size}, {self._size}, 3), not {pixels.shape}"
            )
        with self._calls.one_more() as calls:
            is_alone = calls == len(pixels) == 1
            threads = self._all_cores if is_alone and self._cores > 1 else self._threads
            parts = torch.from_numpy(pixels).tensor_split(self._parts(len(pixels)))
            vectors = np.concatenate([*threads.map(self._unit_vectors, parts)])
        if not np.isfinite(vectors).all():
            raise ClipModelError("the image tower's weights give vectors that are not numbers")
        return vectors

    def _parts(self, count: int) -> int:
        if count < self._together:
            return max(1, min(count, self._cores))
        return -(-count // self._together)

    @torch.inference_mode()
    def _unit_vectors(self, pixels: Tensor) -> NDArray[np.float32]:
        """Map (B, S, S, 3) to (B, D).

        All of it runs in our own threads: the caller may be the only thread of a forked child,
        where torch would wait for OpenMP's other threads for ever.
        """
        return F.normalize(self._fitting(pixels).float(), dim=1).cpu().numpy()

    def _fitting(self, pixels: Tensor) -> Tensor:
        """Map (B, S, S, 3) to (B, D), in halves if a GPU's memory is too small for all."""
        try:
            return self._forward(pixels)
        except torch.cuda.OutOfMemoryError:
            if len(pixels) == 1:
                raise
        self._together = -(-len(pixels) // 2)
        return torch.cat([self._fitting(half) for half in pixels.tensor_split(2)])


@cache
def cores() -> int:
    """Return how many threads torch uses, asked once, as any thread may change the answer."""
    return torch.get_num_threads()


def use_threads(count: int) -> None:
    """Set the number of threads for operations of this thread."""
    torch.get_num_threads()  # or the first operation would apply another thread's setting
    torch.set_num_threads(count)


def _precision(device: str) -> Literal["fp32", "bf16", "fp16"]:
    if device.startswith("cuda"):
        return "fp16"
    return "bf16" if device == "cpu" and has_native_bf16() else "fp32"


def has_native_bf16() -> bool:
    """Return whether the CPU multiplies bfloat16 natively (AVX512-BF16, AMX)."""
    return any(
        bool(getattr(torch.cpu, name, bool)())
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
