"""Measurement of the models' relevance and label scales, which `calibrate` writes to
calibration.json.

Relevance is judged both on short queries ("a dog") and on whole captions. Each query is searched
for in a library with matching pictures, and in the same library without them. A curve is fitted on
one half of the photos and judged on the other. `tag`'s scale is the one with the least log-loss on
pictures of Tiny ImageNet, lowered until labels with a probability above SURE are right at least
that often, on other pictures.
"""

import gzip
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.relevance import (
    DATA,
    UNSEEN,
    Captioned,
    Floats,
    Numbers,
    Truths,
    auroc,
    encoded,
    fitted,
    flickr,
    half,
    rounded,
    sizes,
    tiny,
    tiny_asked,
    vit,
    vit_asked,
)
from retrieval.search.relevance import EVIDENCE_HITS, FAIR, FITTED, Calibration, Judged
from retrieval.search.tags import probabilities
from retrieval.vectors.hubness import HUBNESS_WEIGHT

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder

Encode = Callable[[list[str]], Floats]

HALVES = 20
CAPTIONS = 200
MIN_SHOWN = 2  # matching pictures, in a library that counts as having a match
SCALES = np.geomspace(0.5, 100, 107)
CHOICES = (2, 5, 20, 100)  # numbers of labels, one of which is right
SURE = 0.8


@dataclass(frozen=True)
class Queries:
    """Vectors (Q, D), the photos that certainly show each, and those that may show it (Q, N)."""

    vectors: Floats
    shown: Truths
    perhaps: Truths

    def among(self, photos: Numbers) -> "Queries":
        return Queries(self.vectors, self.shown[:, photos], self.perhaps[:, photos])


def short_queries(encode: Encode, captions: list[str], own: Numbers) -> Queries:
    """Return the queries of queries.json.

    A photo shows what at least two of its five captions mention; with one it may show it.
    """
    asked: dict[str, str] = json.loads((DATA / "queries.json").read_text("utf-8"))
    hits = np.array([[bool(re.search(p, c, re.I)) for c in captions] for p in asked.values()])
    counts = np.stack([np.bincount(own, row, minlength=int(own.max()) + 1) for row in hits])
    return Queries(encode(list(asked)), counts >= 2, counts >= 1)


def caption_queries(data: Captioned, count: int = CAPTIONS) -> Queries:
    """Return a sample of the captions as queries; each is shown by its own photo alone."""
    chosen = np.random.default_rng(0).permutation(len(data.own))[:count]
    is_own = data.own[chosen, np.newaxis] == np.arange(len(data.photos))
    return Queries(data.captions[chosen], is_own, is_own)


def judged(data: Captioned, queries: Queries, least: int) -> Judged:
    """Judge curves fitted on halves of the photos, by libraries of the other halves."""
    relevances, truths = list[float](), list[bool]()
    for seed in range(HALVES):
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(data.photos))
        middle = len(order) // 2
        fitting, rest = (np.sort(part) for part in (order[:middle], order[middle:]))
        others = data.among(fitting)
        curve = fitted([half(others, generator, size) for size in sizes(len(fitting))])
        for relevance, is_there in _asked(data.among(rest), queries.among(rest), curve, least):
            relevances.append(relevance)
            truths.append(is_there)
    scores, there = np.array(relevances, np.float32), np.array(truths, np.bool_)
    said = scores < FAIR
    right = round(float(np.mean(~there[said])), 3) if said.any() else 0.0
    return Judged(round(auroc(scores, there), 3), right)


def _asked(
    data: Captioned, queries: Queries, curve: Calibration, least: int
) -> Iterator[tuple[float, bool]]:
    """Yield the relevance of the best picture, and whether the library has a match."""
    hubness = data.hubness()
    for vector, shown, perhaps in zip(queries.vectors, queries.shown, queries.perhaps, strict=True):
        if shown.sum() >= least:
            cosines = data.photos @ vector
            yield _best(cosines, hubness, curve), True
            yield _best(cosines[~perhaps], hubness[~perhaps], curve), False


def _best(cosines: Floats, hubness: Floats, curve: Calibration) -> float:
    first = np.argsort(HUBNESS_WEIGHT * hubness - cosines)[:EVIDENCE_HITS]
    return curve.relevance(float(curve.evidence(cosines[first], hubness[first])), len(cosines))


# -- the scale of probabilities ------------------------------------------------------------------


@dataclass(frozen=True)
class Labelled:
    """Pictures (P, D), the label of each (P,), labels (L, D), and those that are wrong (P, L)."""

    pictures: Floats
    own: Numbers
    labels: Floats
    wrong: Truths

    def some(self, rows: Numbers) -> "Labelled":
        return Labelled(self.pictures[rows], self.own[rows], self.labels, self.wrong[rows])


def label_scale(data: Labelled) -> tuple[float, float, float]:
    """Return the scale found on one half of the pictures, and two figures measured on the other:
    how often labels above SURE are right, and the log-loss relative to that of a guess.
    """
    order = np.random.default_rng(0).permutation(len(data.pictures))
    one, other = data.some(order[::2]), data.some(order[1::2])
    losses = [_sure(one, scale)[1] for scale in SCALES]
    for scale in SCALES[: int(np.argmin(losses)) + 1][::-1]:
        right, _ = _sure(one, scale)
        if right >= SURE:
            break
    return (round(float(scale), 1), *_sure(other, scale))


def _sure(data: Labelled, scale: float) -> tuple[float, float]:
    generator = np.random.default_rng(1)
    losses, rights = list[float](), list[NDArray[np.bool_]]()
    for count in CHOICES:
        if count - 1 > data.wrong.sum(axis=1).min():
            continue
        asked = zip(data.pictures[:, np.newaxis], data.own.tolist(), data.wrong, strict=True)
        each = [
            probabilities(picture, data.labels[_choice(generator, mine, count, wrong)], scale)
            for picture, mine, wrong in asked
        ]
        chances = np.concatenate(each)
        losses.append(float(np.mean(-np.log(chances[:, 0] + 1e-12))) / np.log(count))
        sure = chances.max(axis=1) > SURE
        rights.append(chances[sure].argmax(axis=1) == 0)
    told = np.concatenate(rights)
    return (float(told.mean()) if len(told) else 1.0), float(np.mean(losses))


def _choice(generator: np.random.Generator, mine: int, count: int, wrong: Truths) -> list[int]:
    """Return a random choice of labels, the right one first."""
    others = generator.choice(np.flatnonzero(wrong), count - 1, replace=False)
    return [mine, *others.tolist()]


# -- the models ----------------------------------------------------------------------------------


def of_bundled() -> dict[str, Any]:
    from clipmodel.numpy_backend.text_encoder import TextEncoder
    from clipmodel.pretrained import resolve

    model, data = resolve("tiny"), tiny()
    texts = TextEncoder(model)
    short = short_queries(texts.encode, flickr()[1], data.own)
    scales = []
    for name, labelled in (("things", tiny_imagenet(model)), ("scenes", scenes(data, short))):
        scale, right, loss = label_scale(labelled)
        print(f"{name}: scale {scale}, right {right:.3f} when sure, loss {loss:.3f} of a guess's")
        scales.append(scale)
    return {
        "digest": model.digest,
        "curve": rounded(fitted(tiny_asked(data))),
        "captions": judged(data, caption_queries(data), 1)._asdict(),
        "short": judged(data, short, MIN_SHOWN)._asdict(),
        "label_scale": min(scales),
    }


def of_vit() -> dict[str, Any]:
    """Measure ViT-B/32; its only texts are captions, which also serve as labels."""
    photos, captions, own = vit()
    query_bank = captions[own < UNSEEN]
    rest = np.arange(UNSEEN, len(photos))
    data = Captioned(photos, captions, own, query_bank).among(rest)
    scale, right, loss = label_scale(
        Labelled(photos, np.arange(100) * 5, captions, own != np.arange(100)[:, np.newaxis])
    )
    print(f"ViT-B/32: scale {scale}, right {right:.3f} when sure, log-loss {loss:.3f} of a guess's")
    return {
        "digest": None,
        "curve": rounded(fitted(vit_asked())),
        "captions": judged(data, caption_queries(data), 1)._asdict(),
        "short": None,
        "label_scale": scale,
    }


def scenes(data: Captioned, short: Queries) -> Labelled:
    """Return the short queries as labels of the photos that show them."""
    label, photo = np.nonzero(short.shown)
    return Labelled(data.photos[photo], label, short.vectors, ~short.perhaps.T[photo])


def tiny_imagenet(model: "ModelFolder") -> Labelled:
    """Return the pictures of the test split, which the model was not trained on, the label of
    each, and the labels in `tag`'s sentences.
    """
    from clipmodel.numpy_backend.text_encoder import TextEncoder
    from retrieval.search.templates import expanded, filled

    rows = [row for row in _rows() if row[1] == "test"]
    names = list(dict.fromkeys(row[2] for row in rows))
    packed = _packed({row[0] for row in rows})
    pictures = encoded(model, [packed[row[0]] for row in rows])
    templates = expanded(["photo"])
    sentences = [s for name in names for s in filled(templates, name.split(",")[0])]
    labels = TextEncoder(model).encode(sentences).reshape(len(names), len(templates), -1)
    mean = labels.mean(axis=1)
    own = np.array([names.index(row[2]) for row in rows])
    wrong = own[:, np.newaxis] != np.arange(len(names))
    unit = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return Labelled(pictures, own, unit, wrong)


def _rows() -> list[list[str]]:
    with gzip.open(DATA / "tiny_imagenet" / "labels.tsv.gz", "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def _packed(names: set[str]) -> dict[str, Image.Image]:
    found: dict[str, Image.Image] = {}
    with tarfile.open(DATA / "tiny_imagenet" / "images-64.tar") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in names and (packed := archive.extractfile(member)):
                found[name] = Image.open(io.BytesIO(packed.read())).convert("RGB")
    return found


def calibrate() -> None:
    held = {"ViT-B/32": of_vit(), "tiny-2": of_bundled()}
    FITTED.write_text(json.dumps(held, indent=2) + "\n")
    print(FITTED.read_text(), end="")


if __name__ == "__main__":
    calibrate()
