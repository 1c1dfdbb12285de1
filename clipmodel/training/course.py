"""The bundled model's shape, and the course of its training."""

from dataclasses import dataclass

from clipmodel.config import ModelConfig, ResNetConfig, TextConfig
from clipmodel.training.loop import Plan

TINY = ModelConfig(
    embed_dim=256,
    vision=ResNetConfig(image_size=96, width=24, layers=(2, 2, 2, 2), heads=12),
    text=TextConfig(
        context_length=77,
        vocab_size=49408,
        width=128,
        layers=4,
        heads=4,
        mlp_width=512,
        activation="quick_gelu",
    ),
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)


@dataclass(frozen=True)
class Look:
    """A part of the training: pixels a side, and the pictures of each source in a batch."""

    plan: Plan
    size: int
    photos: int  # of Flickr8k
    things: int  # of Tiny ImageNet
    scenes: int  # painted


@dataclass(frozen=True)
class Course:
    """The whole training: first words, then several looks at pictures."""

    words: Plan
    looks: tuple[Look, ...]
    scenes: int  # how many are painted
    seed: int = 0


COURSE = Course(
    words=Plan("words", steps=1500, rate=2e-3, decay=0.01),
    looks=(
        Look(
            Plan("small", steps=2400, rate=2e-3, decay=0.1),
            size=64,
            photos=160,
            things=40,
            scenes=56,
        ),
        Look(
            Plan("large", steps=2200, rate=1.5e-3, decay=0.1),
            size=96,
            photos=112,
            things=32,
            scenes=112,
        ),
    ),
    scenes=24_000,
)
