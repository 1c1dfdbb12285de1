"""The test for near copies: the cosine of two pictures' vectors, and their difference hashes.

Either suffices if it leaves no doubt; otherwise both together decide. The necessary cosine depends
on the model: near.json has the measurements, which `python -m benchmarks duplicates` repeats.

A model that was not measured gets the same distances as one that was, in units of its own: the
cosines of unrelated pictures are 0.05 on average for `tiny-2` and 0.56 for `ViT-B/32`, so the same
distance to a cosine of 1 is another part of what tells pictures apart. The unit is 1 less the mean
cosine of the library's own pictures, which needs no labels.

A mirror image counts as the picture itself.
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
MAX_BITS_SAME = 2  # maximum bits in which hashes of a picture and a smaller or worse copy differ
MAX_BITS_ALIKE = 15  # … and of a picture and a cropped one; of unrelated pictures, half of 64 do
STANDARD = "tiny-2"  # the model whose measured distances the others get
LEAST_SAMPLED = 100  # pictures, for a mean cosine; with fewer, the defaults hold
# Parts of a hash: first bit, number of bits. MAX_BITS_SAME changes leave one of them intact.
PARTS = ((0, 21), (21, 21), (42, 22))
MAX_PAIRS = 1 << 20  # pairs examined at a time

Hashes = NDArray[np.uint64]  # (N,)
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows, and the row that each is paired with
REVERSED = np.array([int(f"{byte:08b}"[::-1], 2) for byte in range(256)], np.uint8)


class Nearness(NamedTuple):
    """Minimum cosines of near copies."""

    alone: float = 0.97  # whatever the hashes; the default of small libraries
    both: float = 0.97  # with hashes that differ in up to MAX_BITS_ALIKE bits
    floor: float = 0.8  # with hashes that differ in up to MAX_BITS_SAME bits

    @classmethod
    def of(cls, model: str, mean: float | None = None) -> "Nearness":
        """Return the cosines measured for a model of this name; else derive them from the mean
        cosine of the library's pictures, if known, else the defaults.
        """
        if measured := _measured().get(model):
            return cls(*(measured[part] for part in cls._fields))
        if mean is None:
            return cls()
        standard = _measured()[STANDARD]
        unit = (1 - max(mean, 0.0)) / (1 - standard["mean"])
        alone, both = (1 - unit * (1 - standard[part]) for part in ("alone", "both"))
        return cls(alone, both)

    @classmethod
    def of_cosines(cls, least: float) -> "Nearness":
        """Return the rule that one threshold for vectors decides alone."""
        return cls(least, least, np.inf)

    @property
    def least(self) -> float:
        """The cosine from which a pair is considered, whatever its hashes are."""
        return min(self.alone, self.both)


@cache
def _measured() -> dict[str, dict[str, float]]:
    """Return the cosines of models, and the mean cosine of the pictures they were measured on."""
    held: dict[str, dict[str, float]] = json.loads(MEASURED.read_text("utf-8"))
    return held


def mean_cosine(vectors: NDArray[np.floating]) -> float | None:
    """Return the mean cosine of pairs of different pictures (N, D); None for too few pictures."""
    count = len(vectors)
    if count < LEAST_SAMPLED:
        return None
    total = vectors.sum(axis=0, dtype=np.float64)
    return float((total @ total - count) / (count * (count - 1)))


def packed(hashes: list[bytes]) -> Hashes:
    """Pack hashes, as `difference_hash` returns them, into (N,) integers; 0 means no hash."""
    return np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)


def mirrored(hashes: Hashes) -> Hashes:
    """Return the hashes of the mirror images: rows reversed, darker and brighter swapped."""
    rows = hashes.view(np.uint8).reshape(-1, HASH_SIDE)
    turned: Hashes = (~REVERSED[rows]).view(np.uint64).reshape(-1)
    return turned


def distances(ones: Hashes, others: Hashes) -> NDArray[np.uint8]:
    """Return in how many bits hashes differ, or mirror images if that is less; 64 without a hash on
    either side.
    """
    found = np.minimum(np.bitwise_count(ones ^ others), np.bitwise_count(mirrored(ones) ^ others))
    return np.where((ones == 0) | (others == 0), np.uint8(64), found)


class Twins:
    """An index of hashes that finds the rows within MAX_BITS_SAME bits of a row's own."""

    def __init__(self, hashes: Hashes) -> None:
        values, self._value = np.unique(hashes, return_inverse=True)
        self._rows = np.argsort(self._value, kind="stable")  # rows with equal values are adjacent
        self._bounds = np.searchsorted(self._value[self._rows], np.arange(len(values) + 1))
        ones, self._others = _near_values(values)
        self._near = np.searchsorted(ones, np.arange(len(values) + 1))
        several = np.diff(self._bounds) > 1
        self._has_any = (values != 0) & (several | (np.diff(self._near) > 0))

    def of(self, row: int) -> NDArray[np.int64]:
        """Return a row's twins in any order, including itself; none if it is alone or has no
        hash.
        """
        value = self._value[row]
        if not self._has_any[value]:
            return np.empty(0, np.int64)
        near = self._others[self._near[value] : self._near[value + 1]].tolist()
        parts = [self._rows[self._bounds[at] : self._bounds[at + 1]] for at in (value, *near)]
        return np.concatenate(parts)


def _near_values(values: Hashes) -> Pairs:
    """Return pairs of different values that are near, in both directions, sorted by the first.

    Not all are compared: values that differ in at most MAX_BITS_SAME bits share one of three parts.
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
                near = (distances(values[ones], values[others]) <= MAX_BITS_SAME) & (ones != others)
                found.append(np.stack([ones[near], others[near]], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1]


def _part(hashes: Hashes, first: int, count: int) -> NDArray[np.uint32]:
    bits = (hashes >> np.uint64(first)) & np.uint64((1 << count) - 1)
    return bits.astype(np.uint32)


def _spread(low: NDArray[np.int64], high: NDArray[np.int64]) -> Iterator[Pairs]:
    """Spread ranges (n,) into range numbers and positions, at most MAX_PAIRS at a time unless a
    single range is longer.
    """
    counts = high - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + MAX_PAIRS, "right")))
        some = counts[start:stop]
        ranges = np.repeat(np.arange(start, stop), some)
        firsts = np.repeat(low[start:stop] - (np.cumsum(some) - some), some)
        yield ranges, firsts + np.arange(len(ranges))
        start = stop
