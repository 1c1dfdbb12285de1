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
from clipmodel.errors import CheckpointError
from clipmodel.preprocess import to_pixels
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": {"height": SIDE, "width": SIDE}}, "sets size = {'height': 24, 'width': 24}"),
        ({"size": {"longest_edge": SIDE}}, "sets size = {'longest_edge': 24}"),
        ({"size": {"shortest_edge": 32}}, "shorter side to 32 pixels and crops to 24"),
        ({"size": None}, "shorter side to 224 pixels and crops to 24"),
        ({"size": 32, "crop_size": 32}, "cut to 32 pixels a side, and the weights are for 24"),
        ({"crop_size": {"height": 24, "width": 32}}, "sets crop_size = "),
        ({"resample": 2}, "sets resample = 2"),
        ({"do_resize": False}, "sets do_resize = False"),
        ({"do_center_crop": False}, "sets do_center_crop = False"),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
        ({"rescale_factor": "1/255"}, "rescale_factor is '1/255'"),
        ({"image_processor_type": "SiglipImageProcessor"}, "describes a 'SiglipImageProcessor'"),
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
