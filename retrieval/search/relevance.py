"""The probability that a picture shows what the words say, comparable between queries.

A cosine alone does not tell: 0.27 is high for some words and low for others. The evidence for a
match is the best cosine less some of the picture's hubness (hubness.py). It grows if other hits
come near it, as a model that often ranks a wrong picture first has the right ones among the next.
On the other side, the more pictures there are, the higher is the best score among those that do not
match. A logistic curve over evidence and number of pictures gives the probability, for captions
whose photo is in the library half of the time.

A model has a relevance only if measurements show that it can tell what is there from what is not,
with short queries and with whole captions. `python -m benchmarks.claims` fits and measures, and
writes calibration.json.
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

STRONG, FAIR = 0.8, 0.5  # minimum relevances; below FAIR nothing looks like the words
MAX_COUNTED = 1_000  # pictures; in a larger library the number of matches grows as well
EVIDENCE_HITS = 10  # first hits that the evidence is computed from
FITTED = Path(__file__).with_name("calibration.json")
MIN_AUROC, MIN_RIGHT = 0.8, 0.9  # that a model must reach to have a relevance
# A model that was not measured has its own label scale: 95.1 was measured for `ViT-B/32`, whose own
# is 100, and 12.9 to 22.3 for `tiny-2`, whose own is 20. It is lowered if the cosines of a picture
# to the query bank, times the scale, deviate by more than those of `ViT-B/32`: this shows, without
# labels, that the scale was trained for pictures that are more alike than the library's.
MAX_LABEL_SCALE = 100.0  # to which CLIP's training clips it (Radford et al. 2021, section 2.5)
MAX_SCALED_DEVIATION = 4.1


class Calibration(NamedTuple):
    """The curve of a model: evidence and number of pictures -> relevance."""

    hubness_weight: float  # of hubness, which is subtracted from the cosine
    sharpness: float  # of the maximum over hits; the higher, the less those after the first count
    slope: float  # of the logit, by the evidence
    count_slope: float  # by the logarithm of the number of pictures; lowers the logit
    offset: float

    def evidence(
        self, cosines: NDArray[np.floating], hubness: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Return the evidence (...) from the first EVIDENCE_HITS hits of a query (..., k): the
        soft maximum (log-sum-exp) of their cosines less hubness.
        """
        left = cosines - self.hubness_weight * hubness
        most = left.max(axis=-1, keepdims=True)
        near = np.exp(self.sharpness * (left - most)).sum(axis=-1)
        softened: NDArray[np.floating] = most[..., 0] + np.log(near) / self.sharpness
        return softened

    def relevance(self, evidence: float, pictures: int) -> float:
        """Return the relevance, in 0..1."""
        count = max(1, min(pictures, MAX_COUNTED))
        logit = self.slope * evidence - self.count_slope * math.log(count) + self.offset
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, logit))))


class Judged(NamedTuple):
    """The quality of a curve: can it tell queries that have a match from those that have none?"""

    auroc: float
    right: float  # fraction of its “no match” that was right


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurements of a model. `digest`: of its weights; None if only the name is known."""

    digest: str | None
    curve: Calibration
    captions: Judged | None
    short: Judged | None
    label_scale: float

    @property
    def holds(self) -> bool:
        """True if the model is good enough to have a relevance."""
        return all(
            judged and judged.auroc >= MIN_AUROC and judged.right >= MIN_RIGHT
            for judged in (self.captions, self.short)
        )


def calibration_of(model: ModelRecord) -> Calibration | None:
    """Return the curve of a model; None if it has no relevance."""
    measured = measured_of(model)
    return measured.curve if measured and measured.holds else None


def label_scale_of(model: ModelRecord, own: float, deviation: float | None = None) -> float:
    """Return the factor that turns cosines into the logits of a softmax over labels.

    own: the model's, from its training. deviation: of the cosines of a picture to the query bank,
    averaged over pictures, if known.
    """
    if measured := measured_of(model):
        return measured.label_scale
    most = MAX_SCALED_DEVIATION / deviation if deviation else MAX_LABEL_SCALE
    return min(own, most, MAX_LABEL_SCALE)


def measured_of(model: ModelRecord) -> Measured | None:
    """Return the measurements of a model, found by digest if they have one, else by name."""
    held = _measured()
    for one in held.values():
        if one.digest == model.digest:
            return one
    named = held.get(model.name)
    return named if named and named.digest is None else None


def why_silent(model: ModelRecord) -> str:
    """Return the reason why a model has no relevance."""
    name = os.path.basename(model.name) if os.path.isabs(model.name) else model.name
    measured = measured_of(model)
    if measured is None or measured.short is None:
        return f"“{name}” has no relevance, as it was not measured on short queries"
    return (
        f"“{name}” has no relevance, as it cannot tell matches from other pictures reliably "
        f"(AUROC {measured.short.auroc:.2f} on short queries; {MIN_AUROC} is needed)"
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
