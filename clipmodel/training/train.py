"""The training of the bundled model: words first, then small pictures, then larger ones."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from clipmodel.config import ModelConfig
from clipmodel.model import CLIP
from clipmodel.training.augment import jitter
from clipmodel.training.batches import Batch, tokens
from clipmodel.training.course import TINY, Course, Look
from clipmodel.training.imitate import Lessons, imitations
from clipmodel.training.loop import mixed_precision, optimise
from clipmodel.training.losses import contrast, imitation, targets, truth
from clipmodel.training.material import Material

BATCH_OF_WORDS = 1024  # texts a step while only words are learnt
REMINDERS = 256  # texts a step that keep the words in mind while pictures are learnt
SOFTNESS = 0.3  # the part of a target for captions of similar meaning
MAX_LOGIT_SCALE = 100.0  # as in CLIP


class Learner(nn.Module):
    """The model, and the linear head that maps the teacher's space into the shared one."""

    def __init__(self, config: ModelConfig, head: Tensor) -> None:
        super().__init__()
        self.model = CLIP(config)
        self.head = nn.Parameter(head.clone())  # (384, D)

    def taught(self, vectors: Tensor) -> Tensor:
        """Map (B, 384) to (B, D), unit norm."""
        return F.normalize(vectors @ self.head, dim=1)


def train(config: ModelConfig, course: Course, material: Material, run: Path, device: str) -> CLIP:
    """Train, or resume the training in the folder `run`. Returns the model in evaluation mode."""
    # On short texts a CPU's fused attention takes twice as long backwards.
    with sdpa_kernel(SDPBackend.MATH):
        return _train(config, course, material, run, device)


def _train(config: ModelConfig, course: Course, material: Material, run: Path, device: str) -> CLIP:
    torch.manual_seed(course.seed)
    lessons = material.lessons
    learner = Learner(config, material.head).to(device)
    words = imitations(learner.model, learner.head.detach(), lessons, BATCH_OF_WORDS, device)
    optimise(learner.model.text, course.words, words, run / "words.pt")
    for look in course.looks:
        learner = at_size(learner, config, look.size).to(device).train()
        learner.model.visual.to(memory_format=torch.channels_last)  # faster convolutions
        losses = picture_losses(learner, material, look, course.seed, device)
        optimise(learner, look.plan, losses, run / f"{look.plan.name}.pt")
    return learner.model.eval().cpu()


def picture_losses(
    learner: Learner, material: Material, look: Look, seed: int, device: str
) -> Callable[[range], Iterator[Tensor]]:
    """Return the losses of steps of the joint training."""
    statements = tokens(material.statements).to(device)
    sampler, lessons = material.sampler(look), material.lessons

    def losses(steps: range) -> Iterator[Tensor]:
        for step, batch in sampler.batches(steps, look.size):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
            with mixed_precision(device):
                yield _batch_loss(learner, batch, statements, generator, device) + _reminder(
                    learner, lessons, step, device
                )

    return losses


def _batch_loss(
    learner: Learner, batch: Batch, statements: Tensor, generator: torch.Generator, device: str
) -> Tensor:
    """Compare pictures with our texts, photos also with the teacher's, scenes with true statements.

    statements: (T, L) token ids.
    """
    pixels = jitter(batch.pixels.to(device).float() / 255, batch.colour.to(device), generator)
    pictures = F.normalize(learner.model.encode_image(_normalised(pixels)), dim=1).float()
    texts = F.normalize(learner.model.encode_text(batch.tokens.to(device)), dim=1).float()
    vectors = batch.taught.to(device)
    photos = len(vectors)
    taught = learner.taught(vectors)
    likeness = torch.eye(len(texts), device=device)
    likeness[:photos, :photos] = vectors @ vectors.T
    scale = learner.model.logit_scale.exp().clamp(max=MAX_LOGIT_SCALE)
    wanted = targets(batch.captions, likeness, SOFTNESS)
    wanted_photos = targets(batch.captions[:photos], likeness[:photos, :photos], SOFTNESS)
    loss = (
        contrast(pictures, texts, scale, wanted)
        + 0.5 * contrast(pictures[:photos], taught, scale, wanted_photos)
        + 0.5 * imitation(texts[:photos], taught.detach())
    )
    if len(batch.truths):
        stated = F.normalize(learner.model.encode_text(statements), dim=1).float()
        loss = loss + truth(pictures[photos:], stated, scale, batch.truths.to(device))
    return loss


def _reminder(learner: Learner, lessons: Lessons, step: int, device: str) -> Tensor:
    ids, vectors = lessons.batch(step, REMINDERS)
    texts = F.normalize(learner.model.encode_text(ids.to(device)), dim=1).float()
    return 0.5 * imitation(texts, learner.taught(vectors.to(device)).detach())


def _normalised(pixels: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (TINY.mean, TINY.std)
    )
    return ((pixels - mean) / std).contiguous(memory_format=torch.channels_last)


def _sized(config: ModelConfig, size: int) -> ModelConfig:
    return replace(config, vision=replace(config.vision, image_size=size))


def at_size(learner: Learner, config: ModelConfig, size: int) -> Learner:
    """Return the same weights for another size: the attention pool's places are interpolated."""
    state = learner.state_dict()
    resized = Learner(_sized(config, size), learner.head.detach())
    name = "model.visual.attnpool.positional_embedding"  # (1 + G*G, C), the mean's place first
    place, side = state[name], int((len(state[name]) - 1) ** 0.5)
    grid = place[1:].T.reshape(1, -1, side, side)
    grid = F.interpolate(grid, size=(size // 32, size // 32), mode="bilinear", align_corners=False)
    state[name] = torch.cat([place[:1], grid[0].flatten(1).T])
    resized.load_state_dict(state)
    return resized
