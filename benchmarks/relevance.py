"""Ranking and relevance against plain cosines, on Flickr8k with `tiny` and on vectors of ViT-B/32.

R@1: how often a caption's own photo is the first. AUROC and errors: of telling the captions whose
photo is in a library from those whose is not, by the best match. Each library holds a half of some
photos, at random; our curve is fitted on others and its cut-off is the default one, while the
cosine gets the one threshold that is best for the very captions it is judged by.

`python -m benchmarks.relevance` fits the curves on all photos and writes calibration.json.
"""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import Cell, Row
from retrieval.relevance import CROWD, FAIR, FITTED, Calibration
from retrieval.standing import SHARE, Bank

DATA = Path(__file__).parents[2] / "shared" / "data"
TRIALS = 40
UNSEEN = 20  # of the photos in clip_vectors, whose captions serve as a bank
STEPS = 50  # of Newton's method; a few are enough

Floats = NDArray[np.float32]
Numbers = NDArray[np.int64]
Truths = NDArray[np.bool_]


@dataclass(frozen=True)
class Captioned:
    """Photos (N, D), captions (Q, D), the photo that each belongs to (Q,); and the sentences of a
    bank (S, D) that describe none of them."""

    photos: Floats
    captions: Floats
    own: Numbers
    bank: Floats

    def pulls(self) -> Floats:
        pulls: Floats = Bank(self.bank).measure(self.photos).sum(axis=1)
        return pulls

    def among(self, photos: Numbers) -> "Captioned":
        """These photos alone (ascending), with their captions."""
        kept = np.isin(self.own, photos)
        own = np.searchsorted(photos, self.own[kept])
        return Captioned(self.photos[photos], self.captions[kept], own, self.bank)


Split = tuple[Captioned, Captioned, Captioned]  # all, those to fit a curve on, those to judge it by
Trial = tuple[float, ...]


@dataclass(frozen=True)
class Best:
    """The best match of each caption in a library, and whether its own photo is there."""

    cosines: Floats  # (Q,): of the best by cosine
    left: Floats  # (Q,): of the best by what is left of the cosine
    is_there: Truths
    pictures: int


def run(_: Path, quick: bool) -> Iterator[Row]:
    trials = TRIALS // 10 if quick else TRIALS
    for name, splits in (("ViT-B/32", vit_splits(trials)), ("tiny", tiny_splits(trials))):
        rows = [compare(split, seed) for seed, split in enumerate(splits)]
        means = np.mean(rows, axis=0)
        yield {"model": name} | {c: float(m) for c, m in zip(COLUMNS, means, strict=True)}


COLUMNS = (
    "photos",
    "R@1 by cosine",
    "R@1",
    "photos in a library",
    "AUROC by cosine",
    "AUROC",
    "error by the best constant cosine",
    "error at our cut-off",
)


def compare(split: Split, seed: int) -> Trial:
    """One trial: the figures of COLUMNS."""
    whole, fitting, judged = split
    generator = np.random.default_rng(seed)
    curve = fitted([half(fitting, generator, size) for size in sizes(len(fitting.photos))])
    best = half(judged, generator, len(judged.photos) // 2)
    relevances = np.array([curve.relevance(float(left), best.pictures) for left in best.left])
    return (
        len(whole.photos),
        *recalls(whole),
        best.pictures,
        auroc(best.cosines, best.is_there),
        auroc(best.left, best.is_there),
        least_error(best.cosines, best.is_there),
        float(np.mean((relevances >= FAIR) != best.is_there)),
    )


def recalls(data: Captioned) -> tuple[float, float]:
    """R@1 by cosine and by what is left of it."""
    cosines = data.captions @ data.photos.T  # (Q, D) @ (D, N) -> (Q, N)
    left = cosines - SHARE * data.pulls()
    one, other = (float(np.mean(scores.argmax(axis=1) == data.own)) for scores in (cosines, left))
    return one, other


def half(data: Captioned, generator: np.random.Generator, size: int) -> Best:
    """All captions, asked of a library of `size` photos."""
    inside = np.sort(generator.permutation(len(data.photos))[:size])
    cosines = data.captions @ data.photos[inside].T
    left = (cosines - SHARE * data.pulls()[inside]).max(axis=1)
    return Best(cosines.max(axis=1), left, np.isin(data.own, inside), size)


def sizes(photos: int) -> list[int]:
    """Of the libraries that a curve is fitted on, several of each, all half of the photos or less:
    what it says of more pictures has to be seen, too."""
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


def fitted(libraries: list[Best]) -> Calibration:
    """Logistic regression; in each library the photo is there as often as not."""
    rows = [np.full((len(best.left), 3), np.log(min(best.pictures, CROWD))) for best in libraries]
    for row, best in zip(rows, libraries, strict=True):
        row[:, 0], row[:, 2] = best.left, 1
    x = np.concatenate(rows)
    truths = np.concatenate([best.is_there for best in libraries])
    weights = np.concatenate(
        [
            np.where(b.is_there, 0.5 / b.is_there.mean(), 0.5 / (~b.is_there).mean())
            for b in libraries
        ]
    )
    curve = np.zeros(3)
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-x @ curve))
        bend = x.T @ (x * (weights * chances * (1 - chances))[:, np.newaxis]) + 1e-6 * np.eye(3)
        curve -= np.linalg.solve(bend, x.T @ (weights * (chances - truths)))
    return Calibration(float(curve[0]), float(-curve[1]), float(curve[2]))


# -- data ----------------------------------------------------------------------------------------


def vit_splits(trials: int) -> Iterator[Split]:
    """The sentences of the package are in no file of vectors: captions of 20 photos that are left
    out take their place; a curve is fitted on 40 others and judged by the last 40."""
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
    from clipmodel.image_encoder import ImageEncoder
    from clipmodel.preprocess import to_pixels
    from clipmodel.pretrained import resolve
    from clipmodel.text_encoder import TextEncoder

    model, (pictures, texts, own) = resolve("tiny"), flickr()
    tower, side = ImageEncoder(model), model.config.vision.image_size
    pixels = [to_pixels(picture, side) for picture in pictures]
    starts = range(0, len(pixels), tower.batch_size)
    encoded = [tower.encode(np.stack(pixels[i : i + tower.batch_size])) for i in starts]
    captions = TextEncoder(model).encode(texts)
    return Captioned(np.concatenate(encoded), captions, own, Bank.of(model).vectors)


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


def calibrate() -> None:
    """Fit the curve of each model on all photos that there are."""
    curves: dict[str, dict[str, Cell]] = {}
    photos, captions, own = vit()
    best: list[Best] = []
    for seed in range(TRIALS):
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(photos))
        data = Captioned(photos, captions, own, captions[np.isin(own, order[:UNSEEN])])
        data = data.among(np.sort(order[UNSEEN:]))
        best += [half(data, generator, size) for size in sizes(len(data.photos))]
    curves["ViT-B/32"] = rounded(fitted(best))
    data, generator = tiny(), np.random.default_rng(0)
    curves["tiny"] = rounded(
        fitted([half(data, generator, size) for size in sizes(len(data.photos))])
    )
    FITTED.write_text(json.dumps(curves, indent=2) + "\n")
    print(FITTED.read_text(), end="")


def rounded(curve: Calibration) -> dict[str, Cell]:
    return {name: round(value, 4) for name, value in curve._asdict().items()}


if __name__ == "__main__":
    calibrate()
