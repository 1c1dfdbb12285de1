"""The material of a training: pictures as averages, texts as vectors, and which belong together."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import captions, imagine, statements
from clipmodel.training.batches import Sampler, Source
from clipmodel.training.course import CONTEXT_LENGTH, IMAGE_TOWER, Course, Share
from clipmodel.training.data import Collection, Split, flickr8k, tiny_imagenet
from clipmodel.training.features import Trunk
from clipmodel.training.packages import class_names, lite0
from clipmodel.training.teacher import teach

SCENE_SIZE = 112  # pixels a side
CLASS_PROMPTS = ("a photo of a {}", "{}")


@dataclass(frozen=True)
class Material:
    """All that a training needs besides its course. The texts' vectors have unit norm."""

    sampler: Sampler
    texts: Tensor  # (N, 384), which the captions of the sampler's batches point into
    statements: Tensor  # (T, 384), to which the truths of its batches belong
    classes: Tensor  # (prompts, C, 384)
    classifier: nn.Linear
    unchanged: Tensor  # (M, F) averages of whole pictures of all sources


def gather(data: Path, run: Path, course: Course) -> Material:
    """Read `data`, paint and encode; slow results are kept in the folder `run`."""
    things, _ = tiny_imagenet(data, "train")
    collections = (
        (flickr8k(data, "train"), course.photos),
        (things, course.things),
        (painted("train", course.scenes, run), course.painted),
    )
    spoken = [text for held, _ in collections for texts in held.captions for text in texts]
    stated = [statement.text for statement in statements()]
    named = [prompt.format(name) for prompt in CLASS_PROMPTS for name in class_names()]
    texts = list(dict.fromkeys([*spoken, *stated, *named]))
    vectors = torch.from_numpy(teach(texts, run / "texts.npz", CONTEXT_LENGTH))
    place = {text: row for row, text in enumerate(texts)}
    sources = [_source(*each, place, run) for each in collections]
    return Material(
        Sampler(sources, course.seed),
        vectors,
        vectors[[place[text] for text in stated]],
        vectors[[place[text] for text in named]].reshape(len(CLASS_PROMPTS), -1, vectors.shape[1]),
        lite0()[1],
        torch.from_numpy(np.concatenate([source.features[0] for source in sources])).float(),
    )


def _source(held: Collection, share: Share, place: dict[str, int], run: Path) -> Source:
    features = Trunk(IMAGE_TOWER).views(held, share.views, run)
    rows = [[place[text] for text in texts] for texts in held.captions]
    return Source(held.name, features, rows, share.pictures, held.truths)


def painted(split: Split, count: int, run: Path) -> Collection:
    """Return the first `count` painted scenes of a split; painted once, then kept in `run`."""
    saved = run / f"scenes-{split}-{count}.npy"
    scenes = [imagine(seed, split) for seed in range(count)]
    if not saved.exists():
        part = saved.with_suffix(".part.npy")
        np.save(part, _paint_all(split, count))
        part.replace(saved)
    spoken: list[list[str]] = [captions(scene, seed) for seed, scene in enumerate(scenes)]
    truths = np.array([[true.matches(scene) for true in statements()] for scene in scenes])
    return Collection(f"scenes {split}", np.load(saved, mmap_mode="r"), spoken, truths)


def _paint_all(split: Split, count: int) -> NDArray[np.uint8]:
    pictures = np.empty((count, SCENE_SIZE, SCENE_SIZE, 3), np.uint8)
    with ProcessPoolExecutor() as painters:
        done = painters.map(_painted, [split] * count, range(count), chunksize=100)
        for row, picture in enumerate(tqdm(done, total=count, desc="painting", unit="scene")):
            pictures[row] = picture
    return pictures


def _painted(split: Split, seed: int) -> NDArray[np.uint8]:
    return np.asarray(paint(imagine(seed, split), SCENE_SIZE, SCENE_SIZE, seed))
