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

from retrieval.difference_hash import SIDE

MEASURED = Path(__file__).with_name("near.json")
SAME = 2  # bits in which the hashes of a picture and of a smaller or worse copy of it differ
ALIKE = 14  # … of a picture and one that is cut at its edges; of strangers half of 64 do
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
    rows = hashes.view(np.uint8).reshape(-1, SIDE)
    turned: Hashes = (~REVERSED[rows]).view(np.uint64).reshape(-1)
    return turned


def distances(ones: Hashes, others: Hashes) -> NDArray[np.uint8]:
    """In how many bits they, or the mirror images of the first ones, differ; 64 where one of the
    two says nothing.
    """
    found = np.minimum(
        np.bitwise_count(ones ^ others), np.bitwise_count(mirrored(ones) ^ others)
    )
    return np.where((ones == 0) | (others == 0), np.uint8(64), found)


class Twins:
    """Finds the hashes that differ in at most SAME bits, without comparing each with each: such a
    pair has one of three parts in common.
    """

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._mirrored = mirrored(hashes)
        self._telling = np.flatnonzero(hashes)
        self._parts = [
            (order := np.argsort(part, kind="stable"), part[order])
            for part in (_part(hashes[self._telling], *bits) for bits in PARTS)
        ]

    def near(self, start: int, stop: int, free: NDArray[np.bool_]) -> Pairs:
        """The pairs of a row from `start` up to `stop` with a later one, both of them free."""
        rows = start + np.flatnonzero(free[start:stop] & (self._hashes[start:stop] != 0))
        found = [np.empty((0, 2), np.int64)]
        for asked in (self._hashes, self._mirrored):
            for bits, (order, parts) in zip(PARTS, self._parts, strict=True):
                wanted = _part(asked[rows], *bits)
                low, high = (np.searchsorted(parts, wanted, side) for side in ("left", "right"))
                for few, places in _spread(low, high):
                    ones, others = rows[few], self._telling[order[places]]
                    may_be = (others > ones) & free[others]
                    found.append(self._of_same(ones[may_be], others[may_be]))
        pairs = np.unique(np.concatenate(found), axis=0)
        return pairs[:, 0], pairs[:, 1]

    def _of_same(self, ones: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
        """(P, 2), of these pairs those that differ in at most SAME bits."""
        is_near = distances(self._hashes[ones], self._hashes[others]) <= SAME
        return np.stack([ones[is_near], others[is_near]], axis=1)


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
