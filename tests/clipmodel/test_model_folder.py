"""Model folders: written whole, named by their weights, and mistrusted when they are read."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from clipmodel.config import ModelConfig, ResNetConfig, TextConfig, VisionConfig
from clipmodel.errors import CheckpointError
from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder, read_tensors, save_folder
from clipmodel.towers.shapes import filed

TEXT = TextConfig(77, 100, 16, 1, 2, 32, "gelu")
CONFIG = ModelConfig(8, VisionConfig(16, 8, 16, 1, 2, 32, "gelu"), TEXT, (0.5,) * 3, (0.3,) * 3)


@pytest.fixture
def folder(tmp_path: Path) -> ModelFolder:
    torch.manual_seed(0)
    return save_folder(tmp_path / "model", "small", CONFIG, CLIP.of(CONFIG).state_dict())


def written(path: Path, header: object, data: bytes) -> Path:
    packed = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + data)
    return path


@pytest.mark.parametrize("vision", [CONFIG.vision, ResNetConfig(32, 8, (1, 1, 1, 1), 2)])
def test_what_is_saved_is_what_is_opened(vision: object, tmp_path: Path) -> None:
    config = ModelConfig(8, vision, TEXT, CONFIG.mean, CONFIG.std)  # type: ignore[arg-type]
    state = CLIP.of(config).state_dict()
    saved = save_folder(tmp_path / "m", "a name", config, state)
    opened = ModelFolder.open(tmp_path / "m")
    assert opened == saved and opened.config == config and opened.name == "a name"
    held = {**read_tensors(opened.vision_file), **read_tensors(opened.text_file)}
    assert held.keys() == {filed(name) for name in state}
    for name, tensor in state.items():
        np.testing.assert_array_equal(held[filed(name)], tensor.numpy())


def test_the_digest_names_the_weights(folder: ModelFolder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = CLIP.of(CONFIG).state_dict()
    turned = dict(reversed(state.items()))
    assert save_folder(tmp_path / "b", "other", CONFIG, turned).digest == folder.digest
    state["logit_scale"] += 1
    assert save_folder(tmp_path / "c", "small", CONFIG, state).digest != folder.digest


def test_saving_again_replaces_the_weights_and_keeps_the_card(folder: ModelFolder) -> None:
    (folder.path / "README.md").write_text("card")
    half = save_folder(folder.path, "small", CONFIG, CLIP.of(CONFIG).state_dict(), "float16")
    assert half.digest != folder.digest
    assert (half.path / "README.md").read_text() == "card"
    assert [path.name for path in half.path.parent.iterdir()] == ["model"]


def test_tensors_are_mapped_and_cannot_be_written(folder: ModelFolder) -> None:
    tensor = read_tensors(folder.text_file)["text.positional_embedding"]
    with pytest.raises(ValueError, match="read-only"):
        tensor[0] = 1


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    wanted = torch.tensor([1.5, -2.25, 3e38])
    save_file({"x": wanted.bfloat16()}, tmp_path / "x.safetensors")
    held = read_tensors(tmp_path / "x.safetensors")["x"]
    np.testing.assert_array_equal(held, wanted.bfloat16().float().numpy())


@pytest.mark.parametrize("missing", ["config.json", "vision.safetensors", "text.safetensors"])
def test_a_folder_that_is_not_whole_is_refused(folder: ModelFolder, missing: str) -> None:
    (folder.path / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        ModelFolder.open(folder.path)


@pytest.mark.parametrize("config", ["", "[]", "{}", "null", '{"name": "x", "digest": "y"}'])
def test_a_config_of_another_kind_is_refused(folder: ModelFolder, config: str) -> None:
    (folder.path / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=r"config\.json is damaged"):
        ModelFolder.open(folder.path)


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": F32, "b": {**F32, "data_offsets": [4, 12]}}, bytes(12)),  # one on the other
        ({"a": {**F32, "data_offsets": [0, 800]}}, bytes(8)),  # past the end
        ({"a": {**F32, "data_offsets": [-8, 0]}}, bytes(8)),
        ({"a": {**F32, "shape": [2**40]}}, bytes(8)),  # giant
        ({"a": {**F32, "dtype": "PY"}}, bytes(8)),
        ({"a": {"dtype": "F32"}}, bytes(8)),
        ({"a": 3}, bytes(8)),
        (b"not json", bytes(8)),
        (b"[1, 2]", bytes(8)),
    ],
)
def test_a_hostile_file_of_weights_is_refused(header: object, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        read_tensors(written(tmp_path / "x.safetensors", header, data))


@pytest.mark.parametrize("data", [b"", b"abc", b"\xff" * 8, b"\xff" * 100, bytes(8)])
def test_what_is_no_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        read_tensors(tmp_path / "x")
