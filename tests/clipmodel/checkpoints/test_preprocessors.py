"""How pictures are prepared, as Hugging Face's files say it: as they mean it, or refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.config import ModelConfig
from clipmodel.errors import CheckpointError
from clipmodel.preprocess import to_pixels, transform
from tests.clipmodel.small import MEAN, STD

Build = Callable[[str], nn.Module]

SIDE = 24  # pixels, of the small model
WHOLE = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": SIDE},
    "crop_size": {"height": SIDE, "width": SIDE},
    "image_mean": list(MEAN),
    "image_std": list(STD),
}


def save(folder: Path, huggingface: Build, picture: dict[str, Any]) -> Path:
    huggingface("gelu").save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(picture))
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"size": SIDE, "crop_size": SIDE},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"do_normalize": False},
        {"rescale_factor": 0.5, "do_normalize": False},
        {"rescale_factor": 1 / 127.5, "image_mean": None, "image_std": None},
        {"do_rescale": False, "image_std": None},
        {"do_rescale": False, "do_normalize": False},
    ],
)
def test_what_is_read_is_what_the_reference_computes(
    tmp_path: Path, huggingface: Build, change: dict[str, Any]
) -> None:
    from transformers import CLIPImageProcessor

    said = {key: value for key, value in (WHOLE | change).items() if value is not None}
    _, config = read_checkpoint(save(tmp_path, huggingface, said))
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    reference = CLIPImageProcessor.from_pretrained(tmp_path)(picture, return_tensors="np")
    ours = (to_pixels(picture, SIDE) / 255 - config.mean) / config.std  # (S, S, 3)
    theirs = np.asarray(reference["pixel_values"])[0].transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


# Of a landscape of 90 × 60 pixels, which each setting makes another square of.
RESIZED: list[dict[str, Any]] = [
    {},
    {"size": {"height": SIDE, "width": SIDE}},
    {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False},
    {"size": {"height": 30, "width": 30}},
    {"size": {"shortest_edge": 32}},
    {"size": {"shortest_edge": 32}, "resample": 2},
    {"size": None, "crop_size": SIDE},
    {"resample": 2},
]


@pytest.mark.parametrize("change", RESIZED)
def test_pictures_are_resized_as_the_reference_does(
    tmp_path: Path, huggingface: Build, change: dict[str, Any]
) -> None:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    said = {key: value for key, value in (WHOLE | change).items() if value is not None}
    _, config = read_checkpoint(save(tmp_path, huggingface, said))
    assert_same_pixels(config, CLIPImageProcessorPil.from_pretrained(tmp_path))


@pytest.mark.parametrize("filter", [2, 3])
def test_siglips_processor_squashes(tmp_path: Path, huggingface: Build, filter: int) -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    size = {"height": SIDE, "width": SIDE}
    said = {"image_processor_type": "SiglipImageProcessor", "size": size, "resample": filter}
    said |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    _, config = read_checkpoint(save(tmp_path, huggingface, said))
    assert config.pixels.mode == "squash"
    assert_same_pixels(config, SiglipImageProcessorPil.from_pretrained(tmp_path))


def assert_same_pixels(config: ModelConfig, reference: Any) -> None:
    """Of one picture: our bytes, our transform, and theirs."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    theirs = reference(picture, return_tensors="np")["pixel_values"][0]
    ours = (to_pixels(picture, config.pixels) / 255 - config.mean) / config.std  # (S, S, 3)
    np.testing.assert_allclose(ours.transpose(2, 0, 1), theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(transform(config)(picture), theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": {"longest_edge": SIDE}}, "sets size = {'longest_edge': 24}"),
        ({"size": {"height": 24, "width": 32}}, "sets size = [24, 32]"),
        ({"size": {"shortest_edge": 20}}, "resizes pictures to 20 pixels and crops to 24"),
        ({"size": {"shortest_edge": "24"}}, "size is '24'"),
        ({"size": 32, "crop_size": 32}, "cut to 32 pixels a side, and the weights are for 24"),
        ({"crop_size": {"height": 24, "width": 32}}, "sets crop_size = "),
        ({"resample": 1}, "sets resample = 1, not 2 (bilinear) or 3 (bicubic)"),
        ({"do_pad": True}, "sets do_pad = True"),
        ({"do_resize": False}, "sets do_resize = False"),
        ({"do_center_crop": False}, "sets do_center_crop = False"),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'"),
        ({"image_processor_type": "Siglip2ImageProcessor"}, "describes a 'Siglip2ImageProcessor'"),
    ],
)
def test_what_is_not_done_here_is_refused_by_name(
    tmp_path: Path, huggingface: Build, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(save(tmp_path, huggingface, WHOLE | change))
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_what_transformers_5_writes_is_read(tmp_path: Path, huggingface: Build) -> None:
    """One file for pictures and words, in which the pictures' part has the mean and deviation."""
    folder = save(tmp_path, huggingface, WHOLE | {"image_mean": [0.1, 0.1, 0.1]})
    whole = {"image_processor": WHOLE, "processor_class": "CLIPProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(whole))
    assert read_checkpoint(folder)[1].mean == MEAN  # it counts more, as in transformers
    (folder / "preprocessor_config.json").unlink()
    assert read_checkpoint(folder)[1].std == STD
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    with pytest.raises(CheckpointError, match="do not reveal the mean of the pixels"):
        read_checkpoint(folder)
