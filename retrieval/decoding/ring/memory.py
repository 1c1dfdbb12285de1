"""Slots for the pixels of one picture each, in memory that several processes map.

The memory is a file without a name, which processes get as an open descriptor: when the last of
them ends, however it ends, the system frees it, and nothing is left behind. On Linux it is not in
/dev/shm either, which containers keep small. A page takes memory once it is used, and the lowest
free slot is taken first, so a large ring costs no more than what is in it. Elsewhere it is a file
in the folder for temporary files, which has all of its space from the start.
"""

import heapq
import mmap
import os
import tempfile
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Cells = NDArray[np.int64]  # one for each worker: twice its tasks so far, and 1 while it is at one

CELLS = 512
CELL_BYTES = 8 * CELLS  # a page, before the slots
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
ZEROS = bytes(1 << 20)


class SharedSlots(NamedTuple):
    """What another process needs to map a ring."""

    descriptor: int  # of the file, the same number in every process
    slots: int
    side: int

    @property
    def size(self) -> int:
        """Bytes."""
        return CELL_BYTES + self.slots * 3 * self.side**2

    def mapped(self) -> tuple[Pixels, Cells]:
        """Map the slots, (N, S, S, 3), and the cells into this process."""
        memory = mmap.mmap(self.descriptor, self.size)
        pixels = np.frombuffer(memory, np.uint8, offset=CELL_BYTES)
        shape = self.slots, self.side, self.side, 3
        return pixels.reshape(shape), np.frombuffer(memory, np.int64, CELLS)


class Ring:
    """The slots, as the process that made them sees them."""

    def __init__(self, count: int, side: int) -> None:
        """Make `count` slots for pictures of `side` pixels. Raises OSError without memory."""
        size = SharedSlots(-1, count, side).size
        self.shared = SharedSlots(_file(size), count, side)
        self.pixels, self.cells = self.shared.mapped()  # (N, S, S, 3), (CELLS,)
        self.address: int = self.pixels.ctypes.data
        self.returned: deque[int] = deque()  # by any thread: its `append` is atomic, a heap's not
        self._free = list(range(count))  # a heap

    def __del__(self) -> None:
        if "shared" in self.__dict__:
            os.close(self.shared.descriptor)

    def take(self, count: int) -> "tuple[Slot, ...]":
        """Take the lowest free slots: `count`, or what there is."""
        free = self._free_ones()
        return tuple([Slot(self, heapq.heappop(free)) for _ in range(count) if free])

    @property
    def free(self) -> list[int]:
        """The numbers of the free slots, in order."""
        return sorted(self._free_ones())

    def _free_ones(self) -> list[int]:
        while self.returned:
            heapq.heappush(self._free, self.returned.popleft())
        return self._free


class Slot:
    """A slot that is in use. It is free again once no array refers to it: see `slot_of`."""

    __slots__ = ("number", "ring")

    def __init__(self, ring: Ring, number: int) -> None:
        self.ring = ring
        self.number = number

    def __del__(self) -> None:
        self.ring.returned.append(self.number)

    @property
    def __array_interface__(self) -> dict[str, object]:
        _, _, side = self.ring.shared
        place = self.ring.address + self.number * 3 * side**2
        return {"shape": (side, side, 3), "typestr": "|u1", "data": (place, False), "version": 3}

    def array(self) -> Pixels:
        """Return its pixels, (S, S, 3), which keep it in use."""
        return np.asarray(self)


def slot_of(pixels: Pixels) -> Slot | None:
    """Return the slot that an array of `Slot.array` is in; None for any other array."""
    base = pixels.base
    return base if isinstance(base, Slot) else None


def together(pixels: list[Pixels]) -> Pixels:
    """Return pictures (S, S, 3) as one array (B, S, S, 3), without a copy if they lie in a row."""
    slots = [slot_of(each) for each in pixels]
    first = slots[0]
    if first is None or any(
        slot is None or slot.ring is not first.ring or slot.number != first.number + place
        for place, slot in enumerate(slots)
    ):
        return np.stack(pixels)
    return first.ring.pixels[first.number : first.number + len(slots)]


def _file(size: int) -> int:
    """Open a file of this many bytes that has no name."""
    if hasattr(os, "memfd_create"):
        try:
            # Its pages are there once they are used, unless the system may refuse them then.
            memory = os.memfd_create("retrieve-pixels")
            return _sized(memory, size, is_reserved=_counts_all_memory())
        except OSError:  # an old kernel, or a sandbox
            pass
    with tempfile.TemporaryFile(prefix="retrieve-") as file:
        return _sized(os.dup(file.fileno()), size, is_reserved=True)


def _sized(descriptor: int, size: int, *, is_reserved: bool) -> int:
    """Give a file its size, and its space if `is_reserved`: then a full disk is an error now, not a
    SIGBUS once a page is used.
    """
    try:
        if not is_reserved:
            os.ftruncate(descriptor, size)
        elif hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:  # macOS
            for place in range(0, size, len(ZEROS)):
                _write(descriptor, ZEROS[: size - place])
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _counts_all_memory() -> bool:
    """Return whether Linux refuses memory beyond what there is, rather than end a process."""
    try:
        return OVERCOMMIT.read_text().strip() == "2"
    except OSError:
        return False
