"""Batches as large as the memory of a device allows."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor

from clipmodel.errors import DeviceFaultKind
from clipmodel.torch_backend.device_errors import classify

PATIENCE = 16  # batches that fit before a larger one is tried again


class Fitting:
    """A function of a batch that halves it when memory runs out.

    It remembers the size that fits, and tries twice that after a while: another program may have
    taken the memory for a moment only. Each time that fails, it waits twice as long.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], most: int) -> None:
        """forward: maps (B, ...) to (B, D)."""
        self.together = most  # pictures of the next batch, at most
        self._forward, self._most = forward, most
        self._fitted, self._patience = 0, PATIENCE

    def __call__(self, pixels: Tensor) -> Tensor:
        """Map a batch. Raises what `forward` raises for a single picture."""
        try:
            vectors = self._forward(pixels)
        except Exception as error:
            if len(pixels) == 1 or not is_out_of_memory(error):
                raise
        else:
            self._remember_that_it_fits(len(pixels))
            return vectors
        # Outside of `except`: an error holds its frames, and they the memory.
        release_memory()
        self.together = -(-len(pixels) // 2)
        self._fitted, self._patience = 0, 2 * self._patience
        return torch.cat([self(half) for half in pixels.tensor_split(2)])

    def _remember_that_it_fits(self, count: int) -> None:
        if self.together < self._most and 2 * count > self.together:
            self._fitted += 1
            if self._fitted >= self._patience:
                self.together, self._fitted = min(2 * self.together, self._most), 0


def is_out_of_memory(error: BaseException) -> bool:
    fault = classify(error)
    return fault is not None and fault.kind is DeviceFaultKind.OUT_OF_MEMORY


def release_memory() -> None:
    """Give memory that torch keeps for later back to the devices."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if sys.platform == "darwin" and torch.backends.mps.is_available():
        torch.mps.empty_cache()
