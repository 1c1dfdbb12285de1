"""Recall, median rank and mean average precision from ranks, each with a bootstrap interval.

A query counts as answered at k if any of its right results is among the first k, as published
figures for Flickr30k and COCO do. Intervals resample pictures, not captions, since captions of one
picture rise and fall together (the cluster bootstrap).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CUTS = (1, 5, 10)
RESAMPLED = 1_000
CONFIDENCE = 0.95
SEED = 0

Ranks = Sequence[
    NDArray[np.int64]
]  # for each query the ranks of its right results, ascending, >= 1


@dataclass(frozen=True, slots=True)
class Interval:
    """A measure, and the range in which it lies with CONFIDENCE."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measures:
    """How well queries of one kind found what they describe."""

    queries: int
    recall: dict[int, Interval]  # by k of CUTS: the share of queries answered within the first k
    median_rank: Interval  # of the first right result
    mean_average_precision: Interval


def measured(ranks: Ranks, clusters: NDArray[np.int64]) -> Measures:
    """Return the measures of queries, whose clusters (Q,) are resampled together."""
    first = np.array([each[0] for each in ranks], np.int64)
    precision = np.array([_average_precision(each) for each in ranks])
    samples = resampled(clusters)
    return Measures(
        queries=len(ranks),
        recall={k: _interval((first <= k).astype(float), np.mean, samples) for k in CUTS},
        median_rank=_interval(first.astype(float), np.median, samples),
        mean_average_precision=_interval(precision, np.mean, samples),
    )


def resampled(clusters: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return RESAMPLED selections of queries, in which whole clusters were drawn."""
    random = np.random.default_rng(SEED)
    order = np.argsort(clusters, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1)
    lengths = np.array([len(each) for each in members])
    starts = np.cumsum([0, *lengths[:-1]])
    selections = []
    for _ in range(RESAMPLED):
        drawn = random.integers(len(members), size=len(members))
        within = np.arange(lengths[drawn].sum()) - np.repeat(
            np.cumsum([0, *lengths[drawn][:-1]]), lengths[drawn]
        )
        selections.append(order[np.repeat(starts[drawn], lengths[drawn]) + within])
    return selections


def share_better(
    ranks: Ranks, others: Ranks, clusters: NDArray[np.int64], k: int = CUTS[-1]
) -> float:
    """Return the share of resamples in which `ranks` has more answered within k than `others`;
    ties count half.
    """
    more = np.array([int(a[0] <= k) - int(b[0] <= k) for a, b in zip(ranks, others, strict=True)])
    sums = np.array([more[sample].sum() for sample in resampled(clusters)])
    return float(((sums > 0) + 0.5 * (sums == 0)).mean())


def _average_precision(ranks: NDArray[np.int64]) -> float:
    return float((np.arange(1, len(ranks) + 1) / ranks).mean())


def _interval(
    values: NDArray[np.float64],
    statistic: Callable[[NDArray[np.float64]], np.floating],
    samples: Sequence[NDArray[np.int64]],
) -> Interval:
    drawn = np.array([statistic(values[sample]) for sample in samples])
    edge = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn, [edge, 100 - edge])
    return Interval(float(statistic(values)), float(low), float(high))
