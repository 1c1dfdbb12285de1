"""What makes two pictures near copies: how near their vectors are, and their difference hashes.

Either is enough where it leaves no doubt, and both together where neither does. How near vectors
have to be is a model's own: near.json holds what was measured, which `python -m benchmarks
duplicates` repeats. The mirror image of a picture is as near to it as the picture itself.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.decoding.difference_hash import HASH_SIDE

MEASURED = Path(__file__).with_name("near.json")
SAME = 2  # bits in which the hashes of a picture and of a smaller or worse copy of it differ
ALIKE = 15  # … of a picture and one that is cut at its edges; of strangers half of 64 do
PARTS = ((0, 21), (21, 21), (42, 22))  # bits from, and how many: SAME changes leave one part whole
MOST = 1 << 20  # pairs that are looked at together

Hashes = NDArray[np.uint64]  # (N,)
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows, and the rows that each is paired with
REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)


class Nearness(NamedTuple):
    """Least cosines of near copies."""

    alone: float = 0.97  # whatever the hashes; the default of models that were not measured
    both: float = 0.97  # with hashes that differ in up to ALIKE bits
    floor: float = 0.8  # with hashes that differ in up to SAME bits

    @classmethod
    def of(cls, model: str) -> "Nearness":
        """As measured for a model of this name; else the defaults."""
        return _measured().get(model, cls())

    @classmethod
    def of_cosines(cls, least: float) -> "Nearness":
        """By the vectors alone."""
        return cls(least, least, np.inf)

    @property
    def least(self) -> float:
        """The cosine from which on a pair is looked at whatever its hashes are."""
        return min(self.alone, self.both)


@cache
def _measured() -> dict[str, Nearness]:
    held = json.loads(MEASURED.read_text("utf-8"))
    return {name: Nearness(**cosines) for name, cosines in held.items()}


def packed(hashes: list[bytes]) -> Hashes:
    """As `difference_hash` returns them -> (N,), where 0 says nothing."""
    return np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)


def mirrored(hashes: Hashes) -> Hashes:
    """The hashes of the mirror images: each row from its end, and what was darker is brighter."""
    rows = hashes.view(np.uint8).reshape(-1, HASH_SIDE)
    turned: Hashes = (~REVERSED[rows]).view(np.uint64).reshape(-1)
    return turned


def distances(ones: Hashes, others: Hashes) -> NDArray[np.uint8]:
    """In how many bits they, or the mirror images of the first ones, differ; 64 where one of the
    two says nothing.
    """
    found = np.minimum(np.bitwise_count(ones ^ others), np.bitwise_count(mirrored(ones) ^ others))
    return np.where((ones == 0) | (others == 0), np.uint8(64), found)


class Twins:
    """Finds the rows whose hashes differ from one's own in at most SAME bits."""

    def __init__(self, hashes: Hashes) -> None:
        values, self._value = np.unique(hashes, return_inverse=True)
        self._rows = np.argsort(self._value, kind="stable")  # those of a value follow each other
        self._bounds = np.searchsorted(self._value[self._rows], np.arange(len(values) + 1))
        ones, self._others = _near_values(values)
        self._near = np.searchsorted(ones, np.arange(len(values) + 1))
        several = np.diff(self._bounds) > 1
        self._has_any = (values != 0) & (several | (np.diff(self._near) > 0))

    def of(self, row: int) -> NDArray[np.int64]:
        """In any order, the row itself among them; none where it is alone, or says nothing."""
        value = self._value[row]
        if not self._has_any[value]:
            return np.empty(0, np.int64)
        near = self._others[self._near[value] : self._near[value + 1]].tolist()
        parts = [self._rows[self._bounds[at] : self._bounds[at + 1]] for at in (value, *near)]
        return np.concatenate(parts)


def _near_values(values: Hashes) -> Pairs:
    """Both ways, the pairs of different values that are near, by the first ones. Not each is
    compared with each: a pair that differs in at most SAME bits has one of three parts in common.
    """
    found = [np.empty((0, 2), np.int64)]
    for first, count in PARTS:
        parts = _part(values, first, count)
        order = np.argsort(parts, kind="stable")
        for asked in (values, mirrored(values)):
            wanted = _part(asked, first, count)
            low, high = (np.searchsorted(parts[order], wanted, side) for side in ("left", "right"))
            for ones, places in _spread(low, high):
                others = order[places]
                near = (distances(values[ones], values[others]) <= SAME) & (ones != others)
                found.append(np.stack([ones[near], others[near]], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _part(hashes: Hashes, first: int, count: int) -> NDArray[np.uint32]:
    bits = (hashes >> np.uint64(first)) & np.uint64((1 << count) - 1)
    return bits.astype(np.uint32)


def _spread(low: NDArray[np.int64], high: NDArray[np.int64]) -> Iterator[Pairs]:
    """Ranges (n,) -> the number of each range as often as it has places, and these; at most MOST
    at a time, or those of one range.
    """
    counts = high - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + MOST, "right")))
        some = counts[start:stop]
        ranges = np.repeat(np.arange(start, stop), some)
        firsts = np.repeat(low[start:stop] - (np.cumsum(some) - some), some)
        yield ranges, firsts + np.arange(len(ranges))
        start = stop
