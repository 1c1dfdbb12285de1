"""How fast a model encodes on this machine, beside whatever else it is doing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np

from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from retrieval.models.devices import DeviceChoice, device_or_default
from retrieval.models.encoders import in_torch

BATCHES = 3  # timed, after one that is not
TEXTS = 5


@dataclass(frozen=True, slots=True)
class Speed:
    """The speed of both towers; decoding is not part of it."""

    images_per_second: float
    text_milliseconds: float  # of one text alone


def speed_of(
    folder: ModelFolder, encoder: TextEncoder, texts: Sequence[str], on: DeviceChoice
) -> Speed:
    """Time batches of grey pictures, since a tower takes as long for any, and single texts."""
    tower = in_torch(folder, device_or_default(on.device), on.precision)
    side = folder.config.vision.image_size
    pixels = np.full((tower.batch_size, side, side, 3), 127, np.uint8)
    tower.encode(pixels)
    batches = [_seconds(partial(tower.encode, pixels)) for _ in range(BATCHES)]
    encoder.encode(texts[:1])
    alone = [_seconds(partial(encoder.encode, [text])) for text in texts[:TEXTS]]
    return Speed(tower.batch_size / median(batches), 1_000 * median(alone))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
