"""The error of a model's cut-off: “nothing here” said wrongly, or not said where it is right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.evaluation.ranks import Placed
from retrieval.search.relevance import EVIDENCE_HITS, FAIR, Calibration
from retrieval.vectors.hubness import HUBNESS_WEIGHT


@dataclass(frozen=True, slots=True)
class CutOff:
    """Shares of captions. Other pictures may fit one as well, so `claimed` is an upper bound."""

    missed: float  # its picture is there, and the model says that nothing looks like it
    claimed: float  # its picture was taken away, and the model says that something does


def cut_off_of(
    curve: Calibration,
    best: Sequence[Sequence[Placed]],
    right: Sequence[NDArray[np.int64]],
    among: int,
) -> CutOff:
    """Return the error for captions whose first results are `best`."""
    missed = claimed = 0
    for hits, ids in zip(best, right, strict=True):
        without = [hit for hit in hits if hit.id not in ids]
        missed += _relevance(curve, hits, among) < FAIR
        claimed += _relevance(curve, without, among) >= FAIR
    return CutOff(missed / len(best), claimed / len(best))


def _relevance(curve: Calibration, hits: Sequence[Placed], among: int) -> float:
    first = hits[:EVIDENCE_HITS]
    if not first:
        return 0.0
    hubness = np.array([hit.hubness for hit in first])
    cosines = np.array([hit.score for hit in first]) + hubness
    return curve.relevance(float(curve.evidence(cosines, hubness / HUBNESS_WEIGHT)), among)
