"""A family of towers is an entry: a third one works everywhere without a branch elsewhere."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from clipmodel import families, vocabularies
from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.config import ImageTowerConfig, TextTowerConfig
from clipmodel.errors import CheckpointError
from clipmodel.families import (
    IMAGE_FAMILIES,
    TEXT_FAMILIES,
    ImageFamily,
    Later,
    TextFamily,
    as_json,
    from_json,
)
from clipmodel.hub.registry import REGISTRY
from clipmodel.model import CLIP
from clipmodel.model_folder import CONFIG, ModelFolder, save_folder
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.torch_backend.inference import Normalised
from clipmodel.torch_backend.loading import load_model
from clipmodel.towers.shapes import filed
from clipmodel.vocabularies import VOCABULARIES, Vocabulary
from tests.clipmodel.small import (
    BERT_CONFIG,
    EFFICIENTNET_CONFIG,
    RESNET_CONFIG,
    SIGLIP_CONFIG,
    VIT_CONFIG,
    model_of,
)


@dataclass(frozen=True)
class PoolingConfig(ImageTowerConfig):
    """The mean of each part of a picture, and one product."""

    parts: tuple[int, int]  # down and across

    @property
    def operations(self) -> int:
        return 0


class Pooling(nn.Module):
    """The tower in torch."""

    def __init__(self, config: PoolingConfig, dim: int) -> None:
        super().__init__()
        self.parts = config.parts
        self.pooled = nn.Linear(3 * config.parts[0] * config.parts[1], dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, side, _ = x.shape
        down, across = self.parts
        x = x.reshape(batch, channels, down, side // down, across, side // across).mean((3, 5))
        return self.pooled(x.flatten(1).to(self.pooled.weight.dtype))  # type: ignore[no-any-return]


def in_numpy(weights: Any, config: PoolingConfig) -> Callable[[Any], Any]:
    down, across = config.parts

    def tower(x: Any) -> Any:
        side = x.shape[1]
        x = x.reshape(len(x), down, side // down, across, side // across, 3).mean((2, 4))
        return x.transpose(0, 3, 1, 2).reshape(len(x), -1) @ weights["pooled.weight"].T

    return tower


POOLING = ImageFamily(
    name="pooling",
    config=PoolingConfig,
    sign="visual.pooled.weight",
    needed=(),
    read_config=lambda weights, settings: PoolingConfig(32, (2, 4)),
    shapes=lambda config, dim: {"pooled.weight": (dim, 24)},
    module=Pooling,  # type: ignore[arg-type]
    quick=Normalised,
    numpy=in_numpy,
)


@dataclass(frozen=True)
class LettersConfig(TextTowerConfig):
    """The sum of a vector for each letter."""

    @property
    def vocabulary(self) -> str:
        return "letters"


class Letters(nn.Module):
    """The tower in torch."""

    def __init__(self, config: LettersConfig, dim: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(config.vocab_size, dim)

    def forward(self, ids: Tensor) -> Tensor:
        return (self.letters(ids) * (ids > 0)[:, :, None]).sum(1)  # type: ignore[no-any-return]


def letters_in_numpy(weights: Any, config: LettersConfig) -> Callable[[Any], Any]:
    return lambda ids: weights["letters.weight"][ids].sum(1)


def letters_of(texts: Sequence[str], length: int, truncate: bool) -> NDArray[np.int64]:
    """Return a number for each letter, zeros after the end."""
    rows = np.zeros((len(texts), length), np.int64)
    for row, text in zip(rows, texts, strict=True):
        assert truncate or len(text) <= length
        row[: len(text)] = [1 + ord(letter) % 30 for letter in text[:length]]
    return rows


LETTERS = TextFamily(
    name="letters",
    config=LettersConfig,
    sign="text.letters.weight",
    needed=(),
    read_config=lambda weights, settings: LettersConfig(20, len(weights["text.letters.weight"])),
    shapes=lambda config, dim: {"letters.weight": (config.vocab_size, dim)},
    module=Letters,  # type: ignore[arg-type]
    numpy=letters_in_numpy,
    embed_dim=lambda weights: weights["text.letters.weight"].shape[1],
)


ALPHABET = Vocabulary(
    name="letters",
    padding=0,
    files=(),
    tokenizer=lambda folder: letters_of,
    collect=lambda config, beside: {},
)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelFolder:
    """A model whose towers are both of new families."""
    for name, entries in (
        ("IMAGE_FAMILIES", (*IMAGE_FAMILIES, POOLING)),
        ("TEXT_FAMILIES", (*TEXT_FAMILIES, LETTERS)),
    ):
        monkeypatch.setattr(families, name, entries)
        monkeypatch.setattr(f"clipmodel.checkpoints.read.{name}", entries)
    monkeypatch.setattr(vocabularies, "VOCABULARIES", (*VOCABULARIES, ALPHABET))
    config = replace(VIT_CONFIG, vision=PoolingConfig(32, (2, 4)), text=LettersConfig(20, 31))
    return save_folder(tmp_path / "m", "m", config, model_of(config).state_dict())


def test_a_text_family_is_encoded_by_torch_and_numpy(both: ModelFolder) -> None:
    folder = ModelFolder.open(both.path)
    assert folder.config.text == LettersConfig(20, 31)
    texts = ["a dog", "a red car", "dog", "a text that is longer than its context"]
    with torch.inference_mode():
        ids = torch.from_numpy(letters_of(texts, 20, True))
        theirs = nn.functional.normalize(load_model(folder, "cpu").encode_text(ids), dim=1)
    np.testing.assert_allclose(TextEncoder(folder).encode(texts), theirs.numpy(), atol=1e-5)
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    quick = ImageEncoder(folder, device="cpu", precision="fp32").encode(pixels)
    np.testing.assert_allclose(quick, NumpyImageEncoder(folder).encode(pixels), atol=1e-5)


def test_a_model_of_two_new_families_is_converted(both: ModelFolder, tmp_path: Path) -> None:
    state = load_model(both, "cpu").state_dict()
    torch.save(state, tmp_path / "b.pt")
    (tmp_path / "b.pt.json").write_text(json.dumps({"mean": [0.5] * 3, "std": [0.5] * 3}))
    folder = resolve(tmp_path / "b.pt", download_root=tmp_path / "models")
    assert folder.config.embed_dim == both.config.embed_dim
    np.testing.assert_array_equal(
        TextEncoder(folder).encode(["a dog"]), TextEncoder(both).encode(["a dog"])
    )


@pytest.fixture
def pooling(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModelFolder:
    """A model of a third family."""
    monkeypatch.setattr(families, "IMAGE_FAMILIES", (*IMAGE_FAMILIES, POOLING))
    monkeypatch.setattr("clipmodel.checkpoints.read.IMAGE_FAMILIES", families.IMAGE_FAMILIES)
    config = replace(VIT_CONFIG, vision=PoolingConfig(32, (2, 4)))
    return save_folder(tmp_path / "m", "m", config, model_of(config).state_dict())


def test_a_third_family_is_encoded_by_all_backends(pooling: ModelFolder) -> None:
    config = ModelFolder.open(pooling.path).config
    assert config.vision == PoolingConfig(32, (2, 4))
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
    with torch.inference_mode():
        theirs = nn.functional.normalize(load_model(pooling, "cpu").encode_image(batch), dim=1)
    for encoder in (
        ImageEncoder(pooling, device="cpu", precision="fp32"),
        NumpyImageEncoder(pooling),
    ):
        np.testing.assert_allclose(encoder.encode(pixels), theirs.numpy(), atol=1e-5)


def test_a_third_family_is_read_from_a_checkpoint(pooling: ModelFolder, tmp_path: Path) -> None:
    state = load_model(pooling, "cpu").state_dict()
    torch.save(
        {name.removeprefix("text."): weight for name, weight in state.items()}, tmp_path / "p.pt"
    )
    known = {"activation": "quick_gelu", "head_width": 16, "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "p.pt.json").write_text(json.dumps(known))
    weights, config = read_checkpoint(tmp_path / "p.pt")
    assert config.vision == PoolingConfig(32, (2, 4))
    assert torch.equal(weights["visual.pooled.weight"], state["visual.pooled.weight"])
    with pytest.raises(CheckpointError, match="not of the expected family"):
        read_checkpoint(tmp_path / "p.pt", VIT_CONFIG)


OURS = {
    "vit": VIT_CONFIG,
    "resnet": RESNET_CONFIG,
    "efficientnet": EFFICIENTNET_CONFIG,
    "bert": BERT_CONFIG,
    "siglip": SIGLIP_CONFIG,
}


@pytest.mark.parametrize("config", OURS.values(), ids=OURS)
def test_a_sign_is_of_one_family(config: Any) -> None:
    names = {filed(name) for name in CLIP.of(config).state_dict()}
    images = [family.name for family in IMAGE_FAMILIES if family.sign in names]
    texts = [family.name for family in TEXT_FAMILIES if family.sign in names]
    assert images == [families.image_family(config.vision).name]
    assert texts == [families.text_family(config.text).name]


CONFIGS = OURS | {name: entry.config for name, entry in REGISTRY.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_survives_json(name: str) -> None:
    config = CONFIGS[name]
    held = json.loads(json.dumps(as_json(config)))
    assert from_json(held) == config
    if name == "siglip":
        return
    older = {key: value for key, value in held.items() if not key.endswith("_family")}
    of_then = [field.name for field in fields(config.text) if field.default is MISSING]
    older["text"] = {key: older["text"][key] for key in of_then}
    for key in ("resize", "logit_bias"):
        del older[key]
    assert from_json(older) == config, "as versions wrote it that knew of two families alone"


def test_a_family_of_a_later_version_is_named(folder: ModelFolder, tmp_path: Path) -> None:
    held = json.loads((folder.path / CONFIG).read_text()) | {"image_family": "mixer"}
    for file in folder.path.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / CONFIG).write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match=f"{tmp_path.name}: .* 'mixer', .* update retrieve"):
        ModelFolder.open(tmp_path)


def test_every_name_of_an_entry_is_there() -> None:
    for family in (*IMAGE_FAMILIES, *TEXT_FAMILIES, *VOCABULARIES):
        for value in vars(family).values():
            if isinstance(value, Later):
                assert callable(value.function), value


def test_families_are_light() -> None:
    program = "import sys, clipmodel.families; print(*{'torch', 'numpy', 'PIL'} & set(sys.modules))"
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parents[2])
    assert not ran.stdout.strip()
