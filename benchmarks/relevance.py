"""Ranking and relevance against plain cosines, on Flickr8k with `tiny` and on vectors of ViT-B/32.

R@1: how often a caption's own photo is first. AUROC and errors: how well captions whose photo is in
a library are told from the others. Each library holds a random half of some photos. Our curve
is fitted on other photos, and its cut-off is the default one; the cosine gets the threshold that is
best for the very captions it is judged by, either one for all libraries or one for each.

Last, a small model of every family, with random weights, on painted scenes (models/families.py).

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

from benchmarks.harness.report import Cell, Row
from retrieval.search.relevance import EVIDENCE_HITS, FAIR, MAX_COUNTED, Calibration
from retrieval.vectors.hubness import HUBNESS_WEIGHT, QueryBank

if TYPE_CHECKING:
    from clipmodel.model_folder import ModelFolder

DATA = Path(__file__).parents[2] / "shared" / "data"
TRIALS = 100
UNSEEN = 20  # of the photos in clip_vectors, whose captions serve as query bank
STEPS = 12  # of Newton's method
HUBNESS_WEIGHTS = (0.0, 0.25, 0.5)  # to try for a curve
SHARPNESSES = (20.0, 40.0, 100.0, 400.0)  # to try for a curve

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Captioned:
    """Photos (N, D), captions (Q, D), the photo of each caption (Q,), and the sentences of a query
    bank (S, D), which describe none of the photos.
    """

    photos: Floats
    captions: Floats
    own: Numbers
    query_bank: Floats

    def hubness(self) -> Floats:
        hubness: Floats = QueryBank(self.query_bank).measure(self.photos).sum(axis=1)
        return hubness

    def among(self, photos: Numbers) -> "Captioned":
        """Return only these photos (ascending), with their captions."""
        kept = np.isin(self.own, photos)
        own = np.searchsorted(photos, self.own[kept])
        return Captioned(self.photos[photos], self.captions[kept], own, self.query_bank)


Split = tuple[Captioned, Captioned, Captioned]  # all photos, those to fit on, those to judge by


@dataclass(frozen=True)
class Asked:
    """The first hits of each caption in a library, and whether its own photo is there."""

    best: Floats  # (Q,): the highest cosine
    cosines: Floats  # (Q, EVIDENCE_HITS): of the first hits, ranked by cosine less hubness
    hubness: Floats  # (Q, EVIDENCE_HITS)
    is_there: Truths
    pictures: int  # in the library

    def evidence(self, curve: Calibration) -> Floats:
        return curve.evidence(self.cosines, self.hubness).astype(np.float32)

    def chances(self, curve: Calibration) -> Floats:
        judged = [curve.relevance(float(each), self.pictures) for each in self.evidence(curve)]
        return np.array(judged, np.float32)


@dataclass(frozen=True)
class Trial:
    """A library judged by a curve that was fitted on other photos, and R@1 on all photos."""

    asked: Asked
    relevances: Floats
    recalls: tuple[float, float]  # R@1 by cosine and by default
    photos: int

    @property
    def aurocs(self) -> tuple[float, float]:
        """AUROC by the best cosine and by relevance."""
        there = self.asked.is_there
        return auroc(self.asked.best, there), auroc(self.relevances, there)


def run(folder: Path, quick: bool) -> Iterator[Row]:
    from benchmarks.models import families

    trials, columns = TRIALS // 10 if quick else TRIALS, dict[str, Cell]()
    if DATA.exists():
        for name, splits in (("ViT-B/32", vit_splits(trials)), ("tiny", tiny_splits(trials))):
            row: dict[str, Cell] = {"model": name}
            row |= figures([tried(*each) for each in enumerate(splits)])
            columns = dict.fromkeys(row)
            yield row
    for random in families.rows(folder):
        yield {**columns, **random}


def tried(seed: int, split: Split) -> Trial:
    whole, fitting, judged = split
    generator = np.random.default_rng(seed)
    curve = fitted([half(fitting, generator, size) for size in sizes(len(fitting.photos))])
    asked = half(judged, generator, len(judged.photos) // 2)
    return Trial(asked, asked.chances(curve), recalls(whole), len(whole.photos))


def figures(trials: list[Trial]) -> dict[str, Cell]:
    """Return the means, and the standard error over splits of the gain in AUROC."""
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
    """Return R@1 by cosine, and by cosine less hubness."""
    cosines = data.captions @ data.photos.T  # (Q, D) @ (D, N) -> (Q, N)
    left = cosines - HUBNESS_WEIGHT * data.hubness()
    one, other = (float(np.mean(scores.argmax(axis=1) == data.own)) for scores in (cosines, left))
    return one, other


def half(data: Captioned, generator: np.random.Generator, size: int) -> Asked:
    """Search for all captions in a random library of `size` photos."""
    inside = np.sort(generator.permutation(len(data.photos))[:size])
    cosines, hubness = data.captions @ data.photos[inside].T, data.hubness()[inside]
    first = np.argsort(HUBNESS_WEIGHT * hubness - cosines, axis=1)[:, :EVIDENCE_HITS]
    near = np.take_along_axis(cosines, first, axis=1)
    return Asked(cosines.max(axis=1), near, hubness[first], np.isin(data.own, inside), size)


def sizes(photos: int) -> list[int]:
    """Return the sizes of the libraries that a curve is fitted on, several of each.

    They differ, so that the effect of the number of pictures can be fitted, too; the largest have
    half of the photos.
    """
    return [max(2, photos * part // 16) for part in (2, 4, 6, 8) for _ in range(4)]


# -- measures ------------------------------------------------------------------------------------


def auroc(scores: Floats, truths: Truths) -> float:
    """Return how often the score of a truth is above that of an untruth."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores, kind="stable")] = np.arange(1, len(scores) + 1)
    yes, no = int(truths.sum()), int((~truths).sum())
    return float((ranks[truths].sum() - yes * (yes + 1) / 2) / (yes * no))


def least_error(scores: Floats, truths: Truths) -> float:
    """Return the error of the threshold that is best for exactly these scores."""
    falling = truths[np.argsort(-scores)]
    missed = truths.sum() - np.cumsum(falling)
    return float(min((np.cumsum(~falling) + missed).min(), truths.sum()) / len(truths))


def fitted(libraries: list[Asked]) -> Calibration:
    """Return the most likely curve if the photo is in each library half of the time."""
    truths = np.concatenate([asked.is_there for asked in libraries])
    halves = [
        0.5 / np.where(a.is_there, a.is_there.mean(), 1 - a.is_there.mean()) for a in libraries
    ]
    curves = []
    for hubness_weight, sharpness in itertools.product(HUBNESS_WEIGHTS, SHARPNESSES):
        start = Calibration(hubness_weight, sharpness, 0.0, 0.0, 0.0)
        curves.append(_regressed(start, libraries, truths, np.concatenate(halves)))
    return min(curves)[1]


def _regressed(
    start: Calibration, libraries: list[Asked], truths: Truths, weights: Floats
) -> tuple[float, Calibration]:
    """Fit by logistic regression on the evidence; return the log-loss and the curve."""
    log_counts = [np.full(len(a.best), np.log(min(a.pictures, MAX_COUNTED))) for a in libraries]
    evidence = np.concatenate([asked.evidence(start) for asked in libraries])
    x = np.stack([evidence, np.concatenate(log_counts), np.ones(len(evidence))], axis=1)
    line = np.zeros(3)
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-x @ line))
        bend = x.T @ (x * (weights * chances * (1 - chances))[:, np.newaxis]) + 1e-6 * np.eye(3)
        line -= np.linalg.solve(bend, x.T @ (weights * (chances - truths)))
    loss = float(weights @ np.logaddexp(0, np.where(truths, -1, 1) * (x @ line)))
    slope, count_slope, offset = line.tolist()
    return loss, start._replace(slope=slope, count_slope=-count_slope, offset=offset)


# -- data ----------------------------------------------------------------------------------------


def vit_splits(trials: int) -> Iterator[Split]:
    """Yield splits of the photos: a curve is fitted on 40 and judged by 40 others.

    The captions of the remaining 20 replace our query bank, as no file has its vectors.
    """
    photos, captions, own = vit()
    for seed in range(trials):
        order = np.random.default_rng(seed).permutation(len(photos))
        data = Captioned(photos, captions, own, captions[np.isin(own, order[:UNSEEN])])
        parts = (order[UNSEEN:], order[UNSEEN:60], order[60:])
        whole, fitting, judged = (data.among(np.sort(part)) for part in parts)
        yield whole, fitting, judged


def tiny_splits(trials: int) -> Iterator[Split]:
    """Yield splits of the test photos: a curve is fitted on one half and judged by the other."""
    data = tiny()
    for seed in range(trials):
        order = np.random.default_rng(seed).permutation(len(data.photos))
        middle = len(order) // 2
        yield data, data.among(np.sort(order[:middle])), data.among(np.sort(order[middle:]))


def vit() -> tuple[Floats, Floats, Numbers]:
    """Return the vectors of 100 photos of Flickr8k and their 500 captions by OpenAI's ViT-B/32."""
    folder = DATA / "clip_vectors"
    photos, captions = np.load(folder / "image.npy"), np.load(folder / "text.npy")
    return photos, captions, np.arange(len(captions)) // 5


def tiny() -> Captioned:
    """Return the vectors of Flickr8k's test photos and their captions by the bundled model."""
    from clipmodel.pretrained import resolve

    return captioned(resolve("tiny"), *flickr())


def captioned(
    model: "ModelFolder", pictures: Sequence[Image.Image], texts: Sequence[str], own: Numbers
) -> Captioned:
    """Encode pictures and captions, and the sentences of the query bank, with one model."""
    from clipmodel.numpy_backend.text_encoder import TextEncoder

    captions = TextEncoder(model).encode(texts)
    return Captioned(encoded(model, pictures), captions, own, QueryBank.of(model).vectors)


def encoded(model: "ModelFolder", pictures: Sequence[Image.Image]) -> Floats:
    from clipmodel.preprocess import to_pixels
    from clipmodel.torch_backend.image_encoder import ImageEncoder

    tower, resize = ImageEncoder(model), model.config.pixels
    pixels = [to_pixels(picture, resize) for picture in pictures]
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
    """Return the searches that a curve for ViT-B/32 is fitted on, with all available photos."""
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
