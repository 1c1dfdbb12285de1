"""The training of the bundled model: averages and sentences move into one space."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from clipmodel.config import EfficientNetConfig
from clipmodel.training.batches import Batch
from clipmodel.training.course import Course
from clipmodel.training.learner import Learner
from clipmodel.training.loop import optimise
from clipmodel.training.losses import contrast, knowledge, targets, truth
from clipmodel.training.material import Material


def train(config: EfficientNetConfig, course: Course, material: Material, run: Path) -> Learner:
    """Train, or resume the training in the folder `run`. Returns a learner in evaluation mode."""
    torch.manual_seed(course.seed)
    learner = Learner(
        config,
        material.classifier,
        material.classes[0].float(),
        material.unchanged,
        course.dropout,
    )
    optimise(learner.train(), course.plan, losses(learner, material, course), run / "learner.pt")
    return learner.eval()


def losses(
    learner: Learner, material: Material, course: Course
) -> Callable[[range], Iterator[Tensor]]:
    """Return the losses of steps."""

    def of(steps: range) -> Iterator[Tensor]:
        for step in steps:
            torch.manual_seed(course.seed * 1_000_003 + step)  # of the dropout
            yield _loss(learner, material.sampler.batch(step), step, material, course)

    return of


def _loss(learner: Learner, batch: Batch, step: int, material: Material, course: Course) -> Tensor:
    scale = 1 / course.temperature
    vectors = material.texts[batch.captions].float()
    pictures, texts = learner.pictures(batch.features), learner.texts(vectors)
    wanted = targets(batch.captions, vectors @ vectors.T, course.softness)
    loss = contrast(pictures, texts, scale, wanted)
    names = learner.texts(material.classes[step % len(material.classes)])
    seen = ~batch.is_painted
    likely = learner.likely(batch.features[seen])
    loss = loss + course.knowledge * knowledge(pictures[seen], names, scale, likely)
    if len(batch.truths):
        stated = learner.texts(material.statements)
        loss = loss + truth(pictures[batch.is_painted], stated, scale, batch.truths)
    return loss
