"""Codes in FAISS's order for its fast scan: 32 vectors at a time, as its registers hold them.

A code has two pieces of 4 bits a byte. A block has, for each two pieces, 16 bytes with the first
piece of its 32 vectors and 16 with the second.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

BLOCK = 32  # vectors
# Byte j of the 16 has vector LOW[j] in its lower half, and vector 16 + LOW[j] in the upper.
LOW = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])


N = TypeVar("N", int, NDArray[np.int64])


def padded(count: N) -> N:
    """Return the number of codes in whole blocks that hold `count`."""
    return -(-count // BLOCK) * BLOCK


def packed(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return blocks of codes (N, code size), with zeros after the last: (blocks, block size)."""
    count, size = codes.shape
    whole = np.zeros((padded(count), size), np.uint8)
    whole[:count] = codes
    by_byte = whole.reshape(-1, BLOCK, size).transpose(0, 2, 1)  # (blocks, size, 32 vectors)
    low, high = by_byte[:, :, LOW], by_byte[:, :, LOW + 16]  # (blocks, size, 16)
    first = (low & 15) | (high << 4)
    second = (low >> 4) | (high & 0xF0)
    return np.stack([first, second], axis=2).reshape(len(by_byte), BLOCK * size)


def unpacked(blocks: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return the first `count` codes of blocks: (blocks, block size) -> (count, code size)."""
    size = blocks.shape[1] // BLOCK
    first, second = np.moveaxis(blocks.reshape(len(blocks), size, 2, 16), 2, 0)
    by_byte = np.empty((len(blocks), size, BLOCK), np.uint8)
    by_byte[:, :, LOW] = (first & 15) | (second << 4)
    by_byte[:, :, LOW + 16] = (first >> 4) | (second & 0xF0)
    return by_byte.transpose(0, 2, 1).reshape(-1, size)[:count]
