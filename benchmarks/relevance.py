"""Ranking and relevance against plain cosines, on Flickr8k with `tiny` and on vectors of ViT-B/32.

R@1: how often a caption's own photo is the first. AUROC and errors: of telling the captions whose
photo is in a library from those whose is not. Each library holds a half of some photos, at random;
our curve is fitted on others and its cut-off is the default one, while the cosine gets the one
threshold that is best for the very captions it is judged by: for those of all libraries, or for
each library another one.

`python -m benchmarks.claims` fits the curves on all photos and writes calibration.json.
"""

import gzip
import io
import itertools
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import Cell, Row
from retrieval.search.relevance import CROWD, FAIR, TOGETHER, Calibration
from retrieval.vectors.hubness import HUBNESS_WEIGHT, QueryBank

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder

DATA = Path(__file__).parents[2] / "shared" / "data"
TRIALS = 100
UNSEEN = 20  # of the photos in clip_vectors, whose captions serve as a bank
STEPS = 12  # of Newton's method
SHARES, SHARPNESSES = (0.0, 0.25, 0.5), (20.0, 40.0, 100.0, 400.0)  # a curve may have

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Captioned:
    """Photos (N, D), captions (Q, D), the photo that each belongs to (Q,); and the sentences of a
    query_bank (S, D) that describe none of them.
    """

    photos: Floats
    captions: Floats
    own: Numbers
    query_bank: Floats

    def hubness(self) -> Floats:
        hubness: Floats = QueryBank(self.query_bank).measure(self.photos).sum(axis=1)
        return hubness

    def among(self, photos: Numbers) -> "Captioned":
        """These photos alone (ascending), with their captions."""
        kept = np.isin(self.own, photos)
        own = np.searchsorted(photos, self.own[kept])
        return Captioned(self.photos[photos], self.captions[kept], own, self.query_bank)


Split = tuple[Captioned, Captioned, Captioned]  # all, those to fit a curve on, those to judge it by


@dataclass(frozen=True)
class Asked:
    """What each caption finds in a library, and whether its own photo is there."""

    best: Floats  # (Q,): the greatest cosine
    cosines: Floats  # (Q, TOGETHER): of the first hits by what is left of the cosine
    hubness: Floats  # (Q, TOGETHER)
    is_there: Truths
    pictures: int

    def evidence(self, curve: Calibration) -> Floats:
        return curve.evidence(self.cosines, self.hubness).astype(np.float32)

    def chances(self, curve: Calibration) -> Floats:
        judged = [curve.relevance(float(each), self.pictures) for each in self.evidence(curve)]
        return np.array(judged, np.float32)


@dataclass(frozen=True)
class Trial:
    """The judged library, by a curve fitted on others; and R@1 on all photos."""

    asked: Asked
    relevances: Floats
    recalls: tuple[float, float]  # by cosine and by default
    photos: int

    @property
    def aurocs(self) -> tuple[float, float]:
        """By the best cosine and by relevance."""
        there = self.asked.is_there
        return auroc(self.asked.best, there), auroc(self.relevances, there)


def run(_: Path, quick: bool) -> Iterator[Row]:
    trials = TRIALS // 10 if quick else TRIALS
    for name, splits in (("ViT-B/32", vit_splits(trials)), ("tiny", tiny_splits(trials))):
        yield {"model": name} | figures([tried(*each) for each in enumerate(splits)])


def tried(seed: int, split: Split) -> Trial:
    whole, fitting, judged = split
    generator = np.random.default_rng(seed)
    curve = fitted([half(fitting, generator, size) for size in sizes(len(fitting.photos))])
    asked = half(judged, generator, len(judged.photos) // 2)
    return Trial(asked, asked.chances(curve), recalls(whole), len(whole.photos))


def figures(trials: list[Trial]) -> dict[str, Cell]:
    """Means, and a standard error of what the splits make of the gain in AUROC."""
    by_cosine, by_default = np.mean([trial.recalls for trial in trials], axis=0).tolist()
    aurocs = np.array([trial.aurocs for trial in trials])
    gains = aurocs[:, 1] - aurocs[:, 0]
    best = np.concatenate([trial.asked.best for trial in trials])
    there = np.concatenate([trial.asked.is_there for trial in trials])
    relevances = np.concatenate([trial.relevances for trial in trials])
    each = [least_error(trial.asked.best, trial.asked.is_there) for trial in trials]
    return {
        "photos": trials[0].photos,
        "R@1 by cosine": by_cosine,
        "R@1": by_default,
        "photos in a library": trials[0].asked.pictures,
        "AUROC by cosine": float(aurocs[:, 0].mean()),
        "AUROC": float(aurocs[:, 1].mean()),
        "± of the gain": float(gains.std() / len(gains) ** 0.5),
        "error by the best constant cosine": least_error(best, there),
        "... another for each library": float(np.mean(each)),
        "error at our cut-off": float(np.mean((relevances >= FAIR) != there)),
    }


def recalls(data: Captioned) -> tuple[float, float]:
    """R@1 by cosine and by what is left of it."""
    cosines = data.captions @ data.photos.T  # (Q, D) @ (D, N) -> (Q, N)
    left = cosines - HUBNESS_WEIGHT * data.hubness()
    one, other = (float(np.mean(scores.argmax(axis=1) == data.own)) for scores in (cosines, left))
    return one, other


def half(data: Captioned, generator: np.random.Generator, size: int) -> Asked:
    """All captions, asked of a library of `size` photos."""
    inside = np.sort(generator.permutation(len(data.photos))[:size])
    cosines, hubness = data.captions @ data.photos[inside].T, data.hubness()[inside]
    first = np.argsort(HUBNESS_WEIGHT * hubness - cosines, axis=1)[:, :TOGETHER]
    near = np.take_along_axis(cosines, first, axis=1)
    return Asked(cosines.max(axis=1), near, hubness[first], np.isin(data.own, inside), size)


def sizes(photos: int) -> list[int]:
    """Of the libraries that a curve is fitted on, several of each, all half of the photos or less:
    what it says of more pictures has to be seen, too.
    """
    return [max(2, photos * part // 16) for part in (2, 4, 6, 8) for _ in range(4)]


# -- measures ------------------------------------------------------------------------------------


def auroc(scores: Floats, truths: Truths) -> float:
    """How often a score of a truth is above one of an untruth."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    yes, no = int(truths.sum()), int((~truths).sum())
    return float((ranks[truths].sum() - yes * (yes + 1) / 2) / (yes * no))


def least_error(scores: Floats, truths: Truths) -> float:
    """Of the best constant threshold there is for just these."""
    falling = truths[np.argsort(-scores)]
    missed = truths.sum() - np.cumsum(falling)
    return float(min((np.cumsum(~falling) + missed).min(), truths.sum()) / len(truths))


def fitted(libraries: list[Asked]) -> Calibration:
    """The likeliest; in each library the photo is there as often as not."""
    truths = np.concatenate([asked.is_there for asked in libraries])
    halves = [
        0.5 / np.where(a.is_there, a.is_there.mean(), 1 - a.is_there.mean()) for a in libraries
    ]
    curves = []
    for share, sharpness in itertools.product(SHARES, SHARPNESSES):
        start = Calibration(share, sharpness, 0.0, 0.0, 0.0)
        curves.append(_regressed(start, libraries, truths, np.concatenate(halves)))
    return min(curves)[1]


def _regressed(
    start: Calibration, libraries: list[Asked], truths: Truths, weights: Floats
) -> tuple[float, Calibration]:
    """By logistic regression on the evidence: how unlikely it makes the truths, and the curve."""
    crowds = [np.full(len(a.best), np.log(min(a.pictures, CROWD))) for a in libraries]
    evidence = np.concatenate([asked.evidence(start) for asked in libraries])
    x = np.stack([evidence, np.concatenate(crowds), np.ones(len(evidence))], axis=1)
    line = np.zeros(3)
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-x @ line))
        bend = x.T @ (x * (weights * chances * (1 - chances))[:, np.newaxis]) + 1e-6 * np.eye(3)
        line -= np.linalg.solve(bend, x.T @ (weights * (chances - truths)))
    loss = float(weights @ np.logaddexp(0, np.where(truths, -1, 1) * (x @ line)))
    slope, crowd, offset = line.tolist()
    return loss, start._replace(slope=slope, crowd=-crowd, offset=offset)


# -- data ----------------------------------------------------------------------------------------


def vit_splits(trials: int) -> Iterator[Split]:
    """The sentences of the package are in no file of vectors: captions of 20 photos that are left
    out take their place; a curve is fitted on 40 others and judged by the last 40.
    """
    photos, captions, own = vit()
    for seed in range(trials):
        order = np.random.default_rng(seed).permutation(len(photos))
        data = Captioned(photos, captions, own, captions[np.isin(own, order[:UNSEEN])])
        parts = (order[UNSEEN:], order[UNSEEN:60], order[60:])
        whole, fitting, judged = (data.among(np.sort(part)) for part in parts)
        yield whole, fitting, judged


def tiny_splits(trials: int) -> Iterator[Split]:
    """A curve is fitted on a half of the test photos, and judged by the other."""
    data = tiny()
    for seed in range(trials):
        order = np.random.default_rng(seed).permutation(len(data.photos))
        middle = len(order) // 2
        yield data, data.among(np.sort(order[:middle])), data.among(np.sort(order[middle:]))


def vit() -> tuple[Floats, Floats, Numbers]:
    """100 photos of Flickr8k and their 500 captions by OpenAI's ViT-B/32."""
    folder = DATA / "clip_vectors"
    photos, captions = np.load(folder / "image.npy"), np.load(folder / "text.npy")
    return photos, captions, np.arange(len(captions)) // 5


def tiny() -> Captioned:
    """The test photos of Flickr8k and their captions by the model of the package."""
    from clipmodel.numpy_backend.text_encoder import TextEncoder
    from clipmodel.pretrained import resolve

    model, (pictures, texts, own) = resolve("tiny"), flickr()
    captions = TextEncoder(model).encode(texts)
    return Captioned(encoded(model, pictures), captions, own, QueryBank.of(model).vectors)


def encoded(model: "ModelFolder", pictures: Sequence[Image.Image]) -> Floats:
    from clipmodel.preprocess import to_pixels
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    tower, side = ImageEncoder(model), model.config.vision.image_size
    pixels = [to_pixels(picture, side) for picture in pictures]
    starts = range(0, len(pixels), tower.batch_size)
    batches = [tower.encode(np.stack(pixels[i : i + tower.batch_size])) for i in starts]
    return np.concatenate(batches)


def flickr() -> tuple[list[Image.Image], list[str], Numbers]:
    folder = DATA / "flickr8k"
    with gzip.open(folder / "captions.tsv.gz", "rt", encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file]
    rows = [row for row in rows if row[1] == "test"]
    names = {name: number for number, name in enumerate(dict.fromkeys(row[0] for row in rows))}
    pictures: dict[str, Image.Image] = {}
    with tarfile.open(folder / "images-128.tar") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in names and (packed := archive.extractfile(member)):
                pictures[name] = Image.open(io.BytesIO(packed.read())).convert("RGB")
    own = np.array([names[row[0]] for row in rows])
    return [pictures[name] for name in names], [row[2] for row in rows], own


def vit_asked() -> list[Asked]:
    """What a curve for ViT-B/32 is fitted on: all photos that there are."""
    photos, captions, own = vit()
    asked: list[Asked] = []
    for seed in range(TRIALS):
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(photos))
        data = Captioned(photos, captions, own, captions[np.isin(own, order[:UNSEEN])])
        data = data.among(np.sort(order[UNSEEN:]))
        asked += [half(data, generator, size) for size in sizes(len(data.photos))]
    return asked


def tiny_asked(data: Captioned) -> list[Asked]:
    generator = np.random.default_rng(0)
    return [half(data, generator, size) for size in sizes(len(data.photos))]


def rounded(curve: Calibration) -> dict[str, Cell]:
    return {name: round(value, 4) for name, value in curve._asdict().items()}
