"""The bundled model's shape, and the course of its training."""

from dataclasses import dataclass, replace

from clipmodel.config import EfficientNetConfig
from clipmodel.towers.lite import efficientnet_lite
from clipmodel.training.augment import PHOTO, SCENE, THING, WHOLE, Augmentation
from clipmodel.training.loop import Plan

CONTEXT_LENGTH = 64  # word pieces of a text that are read
IMAGE_TOWER: EfficientNetConfig = replace(
    efficientnet_lite(0), projection=(1024,), all_stages=True, classes=1000
)


@dataclass(frozen=True)
class Share:
    """A source's views of each picture, and the number of its pictures in a batch."""

    views: tuple[Augmentation, ...]  # the first one is that of a search: the whole picture
    pictures: int


@dataclass(frozen=True)
class Course:
    """The whole training."""

    plan: Plan
    photos: Share  # of Flickr8k
    things: Share  # of Tiny ImageNet
    painted: Share
    scenes: int  # how many are painted
    temperature: float = 0.05
    softness: float = 0.3  # the part of a target for captions of similar meaning
    knowledge: float = 0.5  # weight of the loss by which the classifier's classes are kept
    dropout: float = 0.35
    seed: int = 0


COURSE = Course(
    plan=Plan("pictures and words", steps=1400, rate=1e-3, decay=0.05),
    photos=Share((WHOLE, replace(WHOLE, flip=True), PHOTO, PHOTO, PHOTO), pictures=640),
    things=Share((WHOLE, THING), pictures=128),
    painted=Share((WHOLE, SCENE), pictures=320),
    scenes=16_000,
)
