"""How likely it is that a picture is what the words say, as one number that queries share.

A cosine does not tell: 0.27 is a good one for some words and a poor one for others. Evidence of a
match is what is left of the best cosine after a share of the picture's own pull (standing.py), the
more of it the more others come near: a model that is often wrong about the first has them among
the next. And the more pictures there are, the higher the best of those that do not match come. A
logistic curve over the two reads as a probability, with captions whose photo is in a library as
often as not. `python -m benchmarks.relevance` fits it anew and writes calibration.json.
"""

import json
import math
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Strength = Literal["strong", "fair", "weak"]

STRONG, FAIR = 0.8, 0.5  # relevance from which on; below FAIR nothing looks like the words
CROWD = 1_000  # pictures: in a larger library those that do match become more as well
TOGETHER = 10  # of the first hits are weighed together
FITTED = Path(__file__).with_name("calibration.json")
OTHERS = "ViT-B/32"  # stands for models that were not calibrated themselves


class Calibration(NamedTuple):
    """The curve of a model."""

    share: float  # of a picture's pull that is taken away
    sharpness: float  # how little the hits behind the first count
    slope: float  # by the evidence
    crowd: float  # by the logarithm of the number of pictures
    offset: float

    def evidence(
        self, cosines: NDArray[np.floating], pulls: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """(..., k) of the first TOGETHER hits of a query -> (...): the greatest of what is left of
        their cosines, softened (a log-sum-exp)."""
        left = cosines - self.share * pulls
        most = left.max(axis=-1, keepdims=True)
        near = np.exp(self.sharpness * (left - most)).sum(axis=-1)
        softened: NDArray[np.floating] = most[..., 0] + np.log(near) / self.sharpness
        return softened

    def relevance(self, evidence: float, pictures: int) -> float:
        """In 0..1."""
        count = max(1, min(pictures, CROWD))
        logit = self.slope * evidence - self.crowd * math.log(count) + self.offset
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


def calibration_of(model: str) -> Calibration:
    """By the model's name."""
    fitted = _fitted()
    return fitted.get(model, fitted[OTHERS])


def strength(relevance: float) -> Strength:
    return "strong" if relevance >= STRONG else "fair" if relevance >= FAIR else "weak"


@cache
def _fitted() -> dict[str, Calibration]:
    held = json.loads(FITTED.read_text("utf-8"))
    return {name: Calibration(**curve) for name, curve in held.items()}
