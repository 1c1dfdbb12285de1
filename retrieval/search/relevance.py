"""How likely it is that a picture is what the words say, as one number that queries share.

A cosine does not tell: 0.27 is a good one for some words and a poor one for others. Evidence of a
match is what is left of the best cosine after a share of the picture's hubness (hubness.py), the
more of it the more others come near: a model that is often wrong about the first has them among
the next. And the more pictures there are, the higher the best of those that do not match come. A
logistic curve over the two reads as a probability, with captions whose photo is in a library as
often as not.

A model claims relevance only if it was measured to tell what is there from what is not, with short
queries and with whole captions. `python -m benchmarks.claims` fits and measures, and writes
calibration.json.
"""

import json
import math
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.records import ModelRecord

Strength = Literal["strong", "fair", "weak"]

STRONG, FAIR = 0.8, 0.5  # relevance from which on; below FAIR nothing looks like the words
CROWD = 1_000  # pictures: in a larger library those that do match become more as well
TOGETHER = 10  # of the first hits are weighed together
FITTED = Path(__file__).with_name("calibration.json")
LEAST_AUROC, LEAST_RIGHT = 0.8, 0.9  # that a model has to reach before it claims anything
UNMEASURED_SCALE = 8.0  # of `tag` with a model that was not measured: too low a scale costs little


class Calibration(NamedTuple):
    """The curve of a model."""

    share: float  # of a picture's hubness that is taken away
    sharpness: float  # how little the hits behind the first count
    slope: float  # by the evidence
    crowd: float  # by the logarithm of the number of pictures
    offset: float

    def evidence(
        self, cosines: NDArray[np.floating], hubness: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """(..., k) of the first TOGETHER hits of a query -> (...): the greatest of what is left of
        their cosines, softened (a log-sum-exp).
        """
        left = cosines - self.share * hubness
        most = left.max(axis=-1, keepdims=True)
        near = np.exp(self.sharpness * (left - most)).sum(axis=-1)
        softened: NDArray[np.floating] = most[..., 0] + np.log(near) / self.sharpness
        return softened

    def relevance(self, evidence: float, pictures: int) -> float:
        """In 0..1."""
        count = max(1, min(pictures, CROWD))
        logit = self.slope * evidence - self.crowd * math.log(count) + self.offset
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


class Judged(NamedTuple):
    """How well a curve told queries whose pictures are there from those whose are not."""

    auroc: float
    right: float  # how often nothing was there when it said so


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a model. `digest`: of its weights; None where only the name is known."""

    digest: str | None
    curve: Calibration
    captions: Judged | None
    short: Judged | None
    label_scale: float

    @property
    def holds(self) -> bool:
        """Whether it may claim relevance."""
        return all(
            judged and judged.auroc >= LEAST_AUROC and judged.right >= LEAST_RIGHT
            for judged in (self.captions, self.short)
        )


def calibration_of(model: ModelRecord) -> Calibration | None:
    """None for a model that claims no relevance."""
    measured = measured_of(model)
    return measured.curve if measured and measured.holds else None


def label_scale_of(model: ModelRecord) -> float:
    """What cosines are multiplied by to become logits of labels."""
    measured = measured_of(model)
    return measured.label_scale if measured else UNMEASURED_SCALE


def measured_of(model: ModelRecord) -> Measured | None:
    """By the digest of the weights where it is known, else by the name."""
    held = _measured()
    for one in held.values():
        if one.digest == model.digest:
            return one
    named = held.get(model.name)
    return named if named and named.digest is None else None


def why_silent(model: ModelRecord) -> str:
    """Why a model claims no relevance."""
    name = os.path.basename(model.name) if os.path.isabs(model.name) else model.name
    measured = measured_of(model)
    if measured is None or measured.short is None:
        return f"the relevance of “{name}” was not measured on short queries"
    return (
        f"“{name}” cannot tell what is there from what is not "
        f"(AUROC {measured.short.auroc:.2f} on short queries, {LEAST_AUROC} needed)"
    )


def strength(relevance: float) -> Strength:
    return "strong" if relevance >= STRONG else "fair" if relevance >= FAIR else "weak"


@cache
def _measured() -> dict[str, Measured]:
    held = json.loads(FITTED.read_text("utf-8"))
    return {name: _from_json(one) for name, one in held.items()}


def _from_json(held: dict[str, Any]) -> Measured:
    captions, short = (Judged(**held[key]) if held[key] else None for key in ("captions", "short"))
    curve = Calibration(**held["curve"])
    return Measured(held["digest"], curve, captions, short, held["label_scale"])
