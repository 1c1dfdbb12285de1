"""The material of a training: photos, labelled pictures, painted scenes, and texts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from clipmodel.config import ModelConfig
from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import captions, imagine, statements
from clipmodel.training.augment import PHOTO, SCENE
from clipmodel.training.batches import Sampler, Source
from clipmodel.training.corpus import corpus
from clipmodel.training.course import Course, Look
from clipmodel.training.data import Collection, Split, flickr8k, tiny_imagenet
from clipmodel.training.imitate import Lessons, principal_axes
from clipmodel.training.teacher import teach, vocabulary_file

SCENE_SIZE = 112  # pixels a side: a little more than the model sees, so that crops stay sharp


@dataclass(frozen=True)
class Material:
    """All that a training needs besides its course."""

    photos: Collection
    things: Collection
    scenes: Collection
    statements: Sequence[str]  # the columns of `scenes.truths`
    taught: Mapping[str, NDArray[np.float16]]  # (384,) for each caption of photos and things
    lessons: Lessons
    head: Tensor  # (384, D) from the teacher's space into the shared one, as it begins

    def sampler(self, look: Look) -> Sampler:
        """Return a sampler of the batches for a part of the course."""
        photos = [Source(self.photos, PHOTO, look.photos), Source(self.things, PHOTO, look.things)]
        scenes = [Source(self.scenes, SCENE, look.scenes)] if look.scenes else []
        return Sampler(photos, scenes, self.taught, self.lessons.seed)


def gather(data: Path, run: Path, config: ModelConfig, course: Course, device: str) -> Material:
    """Read `data`, paint, and ask the teacher; slow results are kept in the folder `run`."""
    photos = flickr8k(data, "train")
    things, _ = tiny_imagenet(data, "train")
    spoken, labels = ([text for texts in c.captions for text in texts] for c in (photos, things))
    texts = corpus(spoken, labels, vocabulary_file())
    taught = teach(texts, run / "teacher.npz", device)
    return Material(
        photos,
        things,
        painted("train", course.scenes, run),
        [statement.text for statement in statements()],
        dict(zip(texts, taught, strict=True)),
        Lessons(texts, taught, course.seed),
        principal_axes(taught, config.embed_dim),
    )


def painted(split: Split, count: int, run: Path) -> Collection:
    """Return the first `count` painted scenes of a split; painted once, then kept in `run`."""
    saved = run / f"scenes-{split}-{count}.npy"
    scenes = [imagine(seed, split) for seed in range(count)]
    if not saved.exists():
        part = saved.with_suffix(".part.npy")
        np.save(part, _paint_all(split, count))
        part.replace(saved)
    spoken = [captions(scene, seed) for seed, scene in enumerate(scenes)]
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
