"""The image tower, in batches on a device: uint8 pixels in, unit vectors out."""

import logging
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from clipmodel.errors import ClipModelError
from clipmodel.families import image_family
from clipmodel.model_folder import ModelFolder
from clipmodel.pools import Lock, Threads, UnderWay
from clipmodel.torch_backend.device_errors import explained
from clipmodel.torch_backend.devices import (
    CORE_BATCH,
    DTYPES,
    GPU_BATCH,
    LANES,
    Held,
    best_precision,
    canonical,
    cores,
    wider_precision,
)
from clipmodel.torch_backend.fitting import Fitting
from clipmodel.torch_backend.gpu_batches import CudaStreams, GpuBatches
from clipmodel.torch_backend.inference import Normalised, Setup, exact_products
from clipmodel.torch_backend.loading import load_image_tower

Precision = Literal["auto", "fp32", "bf16", "fp16"]
Forward = Callable[[Tensor], Tensor]


class ImageEncoder:
    """Pictures -> unit vectors. Any number of threads may encode at once.

    `slots` threads keep the device busy, each with its part of `batch_size` pictures: on a CPU one
    for each core, so that none waits for the others after every product; on a GPU two, so that the
    next pictures are there when it has finished some. Small batches are divided among the cores,
    and a single picture has all cores for each product.
    """

    def __init__(
        self, folder: ModelFolder, *, device: str | None = None, precision: Precision = "auto"
    ) -> None:
        """device: "cpu", "cuda", "cuda:1", "mps"; by default the first CUDA device if there is one.

        precision: "auto" is fp16 on CUDA, bf16 on a CPU that multiplies it natively, else fp32. If
        numbers become too large for it, a wider one takes its place, in `precision` as well.
        Raises CheckpointError if the weights do not match the folder's config, and DeviceError if
        the device cannot be used.
        """
        self.device = canonical(device)
        self.precision: Held = best_precision(self.device) if precision == "auto" else precision
        kind = self.device.partition(":")[0]
        is_cpu = kind == "cpu"
        self._folder = folder
        self._cores = cores() if is_cpu else 1
        self.slots = self._cores if is_cpu else LANES
        self._most = CORE_BATCH if is_cpu else GPU_BATCH
        self.batch_size = self._most * self.slots
        self._size = folder.config.vision.image_size
        # MPS and XPU get all their work from a single thread: MPS fails with several.
        threads = self.slots if kind in ("cpu", "cuda") else 1
        self._threads = Threads(threads, "core", use_threads, (1,))
        self._all_cores = Threads(1, "cores", use_threads, (self._cores,))
        self._calls = UnderWay()
        self._widening = Lock()
        try:
            with explained(self.device):
                forward = self._threads.submit(self.prepared, self.precision).result()
        except (RuntimeError, AssertionError) as error:
            raise ClipModelError(f"cannot use {self.device}: {error}") from error
        self._fitting = Fitting(forward, self._most)

    @torch.no_grad()
    def prepared(self, precision: Held) -> Forward:
        """Return the tower in a precision.

        It maps pixels (B, S, S, 3) to unit vectors (B, D), both in this machine's memory.
        """
        config = self._folder.config
        mean, std = torch.tensor(config.mean), torch.tensor(config.std)
        setup = Setup(self.device, DTYPES[precision], mean, std)
        tower = image_family(config.vision).quick(load_image_tower(self._folder), setup)
        if setup.kind != "cuda":
            return lambda pixels: F.normalize(tower(pixels).float(), dim=1).cpu()
        return GpuBatches(
            _exact(tower) if precision == "fp32" else tower,
            CudaStreams(self.device),
            (GPU_BATCH, self._size, config.embed_dim),
            lanes=LANES,
            is_recorded=not isinstance(tower, Normalised),  # which may hold anyone's module
        )

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode pixels (B, S, S, 3) from `preprocess.to_pixels`. Returns (B, D), unit norm.

        Raises ValueError for another size, DeviceError if the device fails, or has no memory even
        for one picture, and ClipModelError for vectors that are not finite in any precision.
        """
        if pixels.ndim != 4 or pixels.shape[1:] != (self._size, self._size, 3):
            raise ValueError(
                f"pixels of shape (B, {self._size}, {self._size}, 3), not {pixels.shape}"
            )
        with self._calls.one_more() as calls, explained(self.device):
            is_alone = calls == len(pixels) == 1
            threads = self._all_cores if is_alone and self._cores > 1 else self._threads
            parts = torch.from_numpy(pixels).tensor_split(self._parts(len(pixels)))
            return np.concatenate([*threads.map(self._unit_vectors, parts)])

    def _parts(self, count: int) -> int:
        together = self._fitting.together
        if count < together:
            return max(1, min(count, self._cores))
        return -(-count // together)

    @torch.inference_mode()
    def _unit_vectors(self, pixels: Tensor) -> NDArray[np.float32]:
        """Map (B, S, S, 3) to (B, D).

        All of it runs in our own threads: the caller may be the only thread of a forked child,
        where torch would wait for OpenMP's other threads for ever.
        """
        precision, vectors = self.precision, self._fitting(pixels).numpy()
        if np.isfinite(vectors).all():
            return vectors
        self._widen(precision)
        return self._unit_vectors(pixels)

    def _widen(self, precision: Held) -> None:
        """Go on in a wider precision than this, unless another thread has done so already."""
        with self._widening:
            if precision != self.precision:
                return
            if (wider := wider_precision(self.device, precision)) is None:
                raise ClipModelError("the image tower's weights give vectors that are not numbers")
            logging.getLogger("clipmodel").warning(
                f"{self._folder.name} overflows in {precision} on {self.device}; using {wider}"
            )
            # In this order: no thread may take the new precision for that of the old tower.
            self._fitting = Fitting(self.prepared(wider), self._most)
            self.precision = wider


def use_threads(count: int) -> None:
    """Set the number of threads for operations of this thread."""
    torch.get_num_threads()  # or the first operation would apply another thread's setting
    torch.set_num_threads(count)


def _exact(tower: Forward) -> Forward:
    def call(pixels: Tensor) -> Tensor:
        with exact_products():
            return tower(pixels)

    return call
