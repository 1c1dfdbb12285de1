"""How much a search must read to find what an exact search finds, as the build measured it.

A search for the first ten of a tenth of the vectors reads about as much as one for the first
hundred of all: where its results are, only their rank among all vectors says.
"""

from dataclasses import dataclass

import numpy as np

LEVELS = (10, 100, 1000)  # the first so many of all vectors are to be found


@dataclass(frozen=True)
class Effort:
    """What a search reads to find the first 10, 100 and 1,000 of all vectors."""

    lists: tuple[int, ...]  # for each level
    codes: tuple[int, ...]  # for each level: the best so many codes are compared exactly

    def lists_for(self, rank: float) -> int:
        """Return how many lists to read for vectors of up to this rank."""
        return round(_between(rank, self.lists))

    def codes_for(self, rank: float) -> int:
        """Return how many codes, of all vectors, are as good as those of up to this rank."""
        return round(max(_between(rank, self.codes), rank))

    def grown(self, factor: float) -> "Effort":
        """Return the effort for `factor` times as many vectors in the same lists."""
        return Effort(self.lists, tuple(round(codes * factor) for codes in self.codes))


def _between(rank: float, measured: tuple[int, ...]) -> float:
    """Interpolate between the levels, and beyond the last as between the last two."""
    at, values = np.log(LEVELS), np.log(np.maximum(measured, 1))
    log = np.log(max(rank, LEVELS[0]))
    if log <= at[-1]:
        return float(np.exp(np.interp(log, at, values)))
    slope = (values[-1] - values[-2]) / (at[-1] - at[-2])
    return float(np.exp(values[-1] + slope * (log - at[-1])))
