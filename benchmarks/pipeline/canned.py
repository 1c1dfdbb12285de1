"""A decoder and an encoder that do next to nothing: only what is around them is measured."""

import hashlib
from collections import deque
from collections.abc import Callable
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from retrieval.decoding.ring.memory import Ring
from retrieval.decoding.task import Task, TaskResult
from retrieval.records import Decoded, Facts, Shot

SIDE, DIM = 224, 512  # of ViT-B/32
BATCH = 512

_chance = np.random.default_rng(0)
_pixels = _chance.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
_facts = Facts(datetime(2020, 1, 2, 3, 4, 5), "original")
_shot = Shot("Canon EOS 5D", "EF 50mm f/1.8", None, None, 0.01, 2.8, 100, 50.0)


def decode(task: Task) -> TaskResult:
    """Return the same picture for every path, as a JPEG of a camera; each with its own digest."""
    digest = hashlib.sha256(task.path).digest()
    decoded = Decoded(_pixels, 640, 480, "JPEG", _facts, _shot, digest[:8])
    return TaskResult(task.key, digest, decoded)


class NullEncoder:
    """Gives the same unit vectors to every batch."""

    precision = "fp32"
    batch_size = BATCH
    slots = 2

    def __init__(self) -> None:
        vectors = np.random.default_rng(0).normal(size=(BATCH, DIM)).astype(np.float32)
        self._vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        vectors: NDArray[np.float32] = self._vectors[: len(pixels)]
        return vectors


class NoDecoders:
    """A pool that has each result at once, in a slot that nobody has written to."""

    def __init__(self, ahead: int, ring: Callable[[], Ring | None]) -> None:
        self.window = ahead
        self._make_ring = ring
        self._ring: Ring | None = None
        self._tasks: deque[Task] = deque()

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def submit(self, task: Task) -> None:
        self._tasks.append(task)

    def collect(self) -> TaskResult | None:
        self._ring = self._ring or self._make_ring()
        assert self._ring
        result = decode(self._tasks.popleft())
        assert result.decoded
        [slot] = self._ring.take(1)
        return result._replace(decoded=result.decoded._replace(pixels=slot.array()))

    def wake(self) -> None:
        """Do nothing: `collect` never waits."""

    def close(self) -> None:
        self._tasks.clear()
        self._ring = None
