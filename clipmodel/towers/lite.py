"""The five EfficientNet-Lite as configs: multipliers of width and depth, made explicit.

Only the stages between the first and the last are deepened, and neither the first convolution nor
the last is widened.
"""

from dataclasses import dataclass
from math import ceil

from clipmodel.config import EfficientNetConfig, Stage

MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # (x - 127) / 128, of pixels in 0..1
STEM, HEAD = 32, 1280
_STAGES = (  # of lite0
    Stage(3, 1, 1, 16, 1),
    Stage(3, 2, 6, 24, 2),
    Stage(5, 2, 6, 40, 2),
    Stage(3, 2, 6, 80, 3),
    Stage(5, 1, 6, 112, 3),
    Stage(5, 2, 6, 192, 4),
    Stage(3, 1, 6, 320, 1),
)


@dataclass(frozen=True)
class _Size:
    width: float  # multiplies channels
    depth: float  # multiplies blocks
    image_size: int


_SIZES = (
    _Size(1.0, 1.0, 224),
    _Size(1.0, 1.1, 240),
    _Size(1.1, 1.2, 260),
    _Size(1.2, 1.4, 280),
    _Size(1.4, 1.8, 300),
)


def efficientnet_lite(
    number: int, *, image_size: int | None = None, projection: tuple[int, ...] = ()
) -> EfficientNetConfig:
    """Return the config of lite0 to lite4.

    image_size: by default the one that the published weights were trained with. projection: widths
    of the hidden layers after the average.
    """
    size = _SIZES[number]
    last = len(_STAGES) - 1
    stages = tuple(
        Stage(
            stage.kernel,
            stage.stride,
            stage.expansion,
            _widened(stage.channels, size.width),
            stage.blocks if place in (0, last) else ceil(size.depth * stage.blocks),
        )
        for place, stage in enumerate(_STAGES)
    )
    return EfficientNetConfig(image_size or size.image_size, STEM, stages, HEAD, projection)


def lite_sizes() -> range:
    """Return the numbers that `efficientnet_lite` knows."""
    return range(len(_SIZES))


def _widened(channels: int, factor: float) -> int:
    """Multiply channels and round to a multiple of 8, at most a tenth below."""
    wanted = channels * factor
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
