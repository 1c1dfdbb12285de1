"""Batches on a GPU: copied there, computed and copied back, so that it has always something to do.

A batch takes a lane, which has buffers in page-locked memory and on the device. Copies run on one
stream and computations on another: a batch arrives while the one before is computed, and its caller
sleeps, without Python's lock, until an event says that the vectors are back.

Batches are padded to a few sizes. For each, the kernels of the tower are recorded once as a CUDA
graph; then a launch is a single call, whatever else Python is doing.
"""

import queue
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from clipmodel.pools import Lock

Forward = Callable[[Tensor], Tensor]  # (B, S, S, 3) uint8 -> (B, D), both on the device
Launch = Callable[[], None]
LEAST = 8  # pictures in the smallest padded batch


@dataclass
class Lane:
    """The buffers of a batch that is under way, and what to launch for each padded size."""

    sent: Tensor  # (B, S, S, 3) uint8, page-locked
    pixels: Tensor  # the same on the device
    vectors: Tensor  # (B, D) float32, on the device
    returned: Tensor  # the same, page-locked
    launches: dict[int, Launch] = field(default_factory=dict)


class InOrder:
    """The streams of a device that has none: everything happens at once, in order."""

    def __init__(self, device: str) -> None:
        self.device = device

    def locked(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Return page-locked memory, which the device reads and writes by itself."""
        return torch.empty(shape, dtype=dtype)

    def is_locked(self, tensor: Tensor) -> bool:
        return False

    def copying(self) -> AbstractContextManager[object]:
        """Return the context in which copies to the device are launched."""
        return nullcontext()

    def computing(self) -> AbstractContextManager[object]:
        """Return the context in which computations are launched, after all copies so far."""
        return nullcontext()

    def recorded(self, launch: Launch) -> Launch:
        """Return what launches the same in one call. Its tensors must stay where they are."""
        launch()
        return launch

    def finished(self) -> Launch:
        """Return a call that waits until everything launched so far is done."""
        return lambda: None


class CudaStreams(InOrder):
    """Two streams of a CUDA device, and CUDA graphs that share their memory."""

    def __init__(self, device: str) -> None:
        """The tower must be on the device: its weights may still be arriving on another stream."""
        super().__init__(device)
        torch.cuda.synchronize(device)
        self._copies, self._computes = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]
        self._memory = torch.cuda.graph_pool_handle()

    def locked(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def is_locked(self, tensor: Tensor) -> bool:
        return tensor.is_pinned()

    def copying(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(self._copies)

    def computing(self) -> AbstractContextManager[object]:
        self._computes.wait_stream(self._copies)
        return torch.cuda.stream(self._computes)

    def recorded(self, launch: Launch) -> Launch:
        with torch.cuda.stream(self._computes):
            launch()  # libraries are loaded and their workspaces made, which a graph must not do
        self._computes.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on meanwhile; by default, what they do would be an error.
        where, mode = (self._memory, self._computes), "thread_local"
        with torch.cuda.device(self.device), torch.cuda.graph(graph, *where, mode):
            launch()
        return graph.replay

    def finished(self) -> Launch:
        # A thread that waits sleeps: the decoders need the cores.
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(self._computes)
        return event.synchronize


class GpuBatches:
    """A tower on a device, for pixels and vectors in this machine's memory.

    Any number of threads may call it; `lanes` of them are under way at once.
    """

    def __init__(
        self,
        forward: Forward,
        streams: InOrder,
        shape: tuple[int, int, int],
        *,
        lanes: int = 2,
        is_recorded: bool = True,
    ) -> None:
        """shape: the largest batch, the side of its pictures, D.

        is_recorded: whether `forward` does the same for every batch, without asking for a value,
        so that a graph can do it.
        """
        self._forward, self._streams, self._is_recorded = forward, streams, is_recorded
        self._most = shape[0]
        self._launching = Lock()
        self._lanes = queue.SimpleQueue[Lane]()
        for _ in range(lanes):
            self._lanes.put(self._lane(*shape))

    def _lane(self, most: int, side: int, dim: int) -> Lane:
        sent = self._streams.locked(most, side, side, 3, dtype=torch.uint8)
        returned = self._streams.locked(most, dim, dtype=torch.float32)
        pixels, vectors = (
            torch.empty_like(each, device=self._streams.device) for each in (sent, returned)
        )
        return Lane(sent, pixels, vectors, returned)

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Tensor:
        """pixels: (B, S, S, 3) uint8; B is at most the largest batch. Returns (B, D), unit norm.

        Page-locked pixels are read by the device itself, others are copied first.
        """
        lane, count = self._lanes.get(), len(pixels)
        try:
            if not self._streams.is_locked(pixels):
                pixels = lane.sent[:count].copy_(pixels)
            wait = self._launched(lane, pixels)
            wait()  # without the lock: another thread launches the next batch
            return lane.returned[:count].clone()
        finally:
            self._lanes.put(lane)

    def _launched(self, lane: Lane, pixels: Tensor) -> Launch:
        count = len(pixels)
        with self._launching:
            launch = self._launch(lane, padded(count, self._most))
            with self._streams.copying():
                lane.pixels[:count].copy_(pixels, non_blocking=True)
            with self._streams.computing():
                launch()
                lane.returned[:count].copy_(lane.vectors[:count], non_blocking=True)
            return self._streams.finished()

    def _launch(self, lane: Lane, size: int) -> Launch:
        """Return what computes the first `size` pictures of a lane, recorded at the first time."""
        if size not in lane.launches:

            def compute() -> None:
                vectors = F.normalize(self._forward(lane.pixels[:size]).float(), dim=1)
                lane.vectors[:size].copy_(vectors)

            is_recorded = self._is_recorded
            lane.launches[size] = self._streams.recorded(compute) if is_recorded else compute
        return lane.launches[size]


def padded(count: int, most: int) -> int:
    """Return the size of the padded batch: a power of two, or the largest batch."""
    return min(max(LEAST, 1 << (count - 1).bit_length()), most)
