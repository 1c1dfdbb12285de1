"""The configs of Hugging Face's image processors: as they say it, or refused."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from clipmodel.checkpoints.json_values import Triple, part, read_json, square, triple
from clipmodel.config import Interpolation, Resize
from clipmodel.errors import CheckpointError
from clipmodel.hub.registry import OPENAI_MEAN, OPENAI_STD

# The defaults of a processor's settings, by the start of its name.
_PROCESSORS: dict[str, dict[str, Any]] = {
    "CLIP": {"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": 224},
    "Siglip": {"size": {"height": 224, "width": 224}},
}
_KINDS = ("ImageProcessor", "ImageProcessorFast", "ImageProcessorPil", "FeatureExtractor")
_FILTERS: dict[int, Interpolation] = {2: "bilinear", 3: "bicubic"}  # as Pillow counts
_BYTE = 255  # the greatest value of a pixel, which a rescale factor makes 1


class Prepared(NamedTuple):
    """The preprocessing of pictures; None where no config gives a setting."""

    resize: Resize | None = None
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
    mean, std = _normalised(path, held)
    return Prepared(_resized(path, held), mean, std)


def _resized(path: Path, held: Mapping[str, Any]) -> Resize | None:
    """Return how pictures are resized and cropped; None if it is left to the model's size."""
    kind = held.get("image_processor_type") or held.get("feature_extractor_type") or "CLIP"
    defaults = next((d for name, d in _PROCESSORS.items() if kind in _names(name)), None)
    if defaults is None:
        raise CheckpointError(
            f"layout not supported: {path} describes a {kind!r}, not one of "
            f"{', '.join(f'{name}ImageProcessor' for name in _PROCESSORS)}"
        )
    if held.get("do_resize") is False or held.get("do_pad"):
        key = "do_pad" if held.get("do_pad") else "do_resize"
        raise CheckpointError(f"layout not supported: {path} sets {key} = {held[key]!r}")
    filter = held.get("resample")
    if (interpolation := _FILTERS.get(3 if filter is None else filter)) is None:
        raise CheckpointError(
            f"layout not supported: {path} sets resample = {filter!r}, not 2 (bilinear) or 3 "
            "(bicubic)"
        )
    if held.get("size") is None and held.get("crop_size") is None and "crop_size" in defaults:
        return None if interpolation == "bicubic" else Resize(224, interpolation=interpolation)
    given = defaults | {key: value for key, value in held.items() if value is not None}
    edge, mode = _edge(path, given["size"])
    if not given.get("do_center_crop"):
        if mode == "shortest":
            raise CheckpointError(f"layout not supported: {path} sets do_center_crop = False")
        return Resize(edge, mode, interpolation)
    cut = square(path, "crop_size", given["crop_size"]) or edge
    if edge < cut:
        raise CheckpointError(
            f"layout not supported: {path} resizes pictures to {edge} pixels and crops to {cut}"
        )
    return Resize(cut, mode, interpolation, 0 if edge == cut else edge)


def _names(processor: str) -> set[str]:
    return {processor, *(processor + kind for kind in _KINDS)}


def _edge(path: Path, size: object) -> tuple[int, Literal["shortest", "squash"]]:
    """Return the side that pictures are resized to: the shorter one's length, or of both."""
    is_edge = isinstance(size, int) or (isinstance(size, dict) and set(size) == {"shortest_edge"})
    if isinstance(size, dict) and is_edge:
        size = size["shortest_edge"]
    if (edge := square(path, "size", size)) is None:
        raise CheckpointError(f"{path}: size is {size!r}, not a number of pixels")
    return edge, "shortest" if is_edge else "squash"


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
