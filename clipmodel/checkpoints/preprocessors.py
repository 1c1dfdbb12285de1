"""The configs of Hugging Face's image processors; any but CLIP's preprocessing is refused."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clipmodel.checkpoints.json_values import Triple, part, read_json, square, triple, whole
from clipmodel.errors import CheckpointError
from clipmodel.hub.registry import OPENAI_MEAN, OPENAI_STD

# Processors that prepare pictures as CLIP does; others have other defaults.
_PROCESSORS = (
    "CLIPImageProcessor",
    "CLIPImageProcessorFast",
    "CLIPImageProcessorPil",
    "CLIPFeatureExtractor",
)
_BICUBIC = 3  # as Pillow counts
_DEFAULT_SIZE = 224  # pixels a side, of CLIPImageProcessor
_BYTE = 255  # the greatest value of a pixel, which a rescale factor makes 1


class Prepared(NamedTuple):
    """The preprocessing of pictures; None where no config gives a setting."""

    size: int | None = None  # pixels a side
    mean: Triple | None = None
    std: Triple | None = None


def prepared_by(pixels: Path, processor: Path) -> Prepared:
    """Read an image processor's config.

    It is in a file of its own or, since transformers 5, in the whole processor's, which takes
    precedence.
    """
    if processor.exists() and (held := part(processor, read_json(processor), "image_processor")):
        return _of_processor(processor, held)
    return _of_processor(pixels, read_json(pixels)) if pixels.exists() else Prepared()


def _of_processor(path: Path, held: Mapping[str, Any]) -> Prepared:
    """Read one config; refuse all but a resize to the model's side, centre crop, normalisation."""
    kind = held.get("image_processor_type") or held.get("feature_extractor_type") or _PROCESSORS[0]
    if kind not in _PROCESSORS:
        raise CheckpointError(f"layout not supported: {path} describes a {kind!r}, not CLIP's")
    for key, value in (("do_resize", True), ("do_center_crop", True), ("resample", _BICUBIC)):
        if held.get(key) not in (None, value):
            raise CheckpointError(f"layout not supported: {path} sets {key} = {held[key]!r}")
    if held.get("size") is None and held.get("crop_size") is None:
        return Prepared(None, *_normalised(path, held))
    side = _shortest(path, held.get("size"))
    cut = square(path, "crop_size", held.get("crop_size")) or _DEFAULT_SIZE
    if side != cut:
        raise CheckpointError(
            f"layout not supported: {path} resizes the shorter side to {side} pixels and crops to "
            f"{cut}; they must be equal"
        )
    return Prepared(cut, *_normalised(path, held))


def _normalised(path: Path, held: Mapping[str, Any]) -> tuple[Triple | None, Triple | None]:
    """Return mean and deviation of pixels in 0..1, whatever range they are rescaled to."""
    mean = triple(path, "image_mean", held.get("image_mean"))
    std = triple(path, "image_std", held.get("image_std"))
    if held.get("do_normalize") is False:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    factor = held.get("rescale_factor")
    factor = 1 / _BYTE if factor is None else factor
    factor = 1 if held.get("do_rescale") is False else factor
    if type(factor) not in (int, float) or not 0 < factor < math.inf:
        raise CheckpointError(f"{path}: rescale_factor is {factor!r}, not a number above 0")
    scale = _BYTE * factor
    if math.isclose(scale, 1, rel_tol=1e-6):
        return mean, std
    return _divided(mean or OPENAI_MEAN, scale), _divided(std or OPENAI_STD, scale)


def _divided(values: Triple, scale: float) -> Triple:
    red, green, blue = (value / scale for value in values)
    return red, green, blue


def _shortest(path: Path, size: object) -> int:
    """Return the length that the shorter side of a picture is resized to, by default CLIP's.

    {"height", "width"} is refused, as it distorts pictures.
    """
    if isinstance(size, dict):
        if set(size) != {"shortest_edge"}:
            raise CheckpointError(f"layout not supported: {path} sets size = {size!r}")
        size = size["shortest_edge"]
    return whole(path, "size", size) or _DEFAULT_SIZE
