"""Text towers published alone, M-CLIP's and sentence-transformers', with an image tower."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from clipmodel.errors import CheckpointError, ModelNotFound
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.torch_backend.loading import load_model
from tests.clipmodel.small import VIT_CONFIG, pictures, saved
from tests.clipmodel.towers.alone import m_clip, sentence_transformer

TEXTS = ["a dog", "Two  red_cars, in the SNOW!", "", "Le toit élevé 犬 &amp; chat ψ", "dogs " * 9]
KINDS = {"M-CLIP": m_clip, "sentence-transformers": sentence_transformer}
FILES = {"M-CLIP": "pytorch_model.bin", "sentence-transformers": "model.safetensors"}


def with_image_tower(folder: Path, kind: str, name: str | Path) -> None:
    held = {"image_tower": str(name)}
    (folder / f"{FILES[kind]}.json").write_text(json.dumps(held))


@pytest.fixture
def images(tmp_path: Path) -> ModelFolder:
    return saved(tmp_path / "images", VIT_CONFIG)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_are_the_references(tmp_path: Path, images: ModelFolder, kind: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    encode = KINDS[kind](source)
    with_image_tower(source, kind, images.path)
    folder = resolve(source, download_root=tmp_path / "models")
    ids = torch.from_numpy(folder.tokenizer()(TEXTS, folder.config.text.context_length, True))
    model, others = load_model(folder, "cpu"), load_model(images, "cpu")
    with torch.inference_mode():
        words = encode(TEXTS)
        torch.testing.assert_close(model.encode_text(ids), words, atol=1e-5, rtol=0)
        image = pictures(VIT_CONFIG, 2)
        torch.testing.assert_close(model.encode_image(image), others.encode_image(image))
        torch.testing.assert_close(model.logit_scale, others.logit_scale)
    unit = nn.functional.normalize(words).numpy()
    np.testing.assert_allclose(TextEncoder(folder).encode(TEXTS), unit, atol=1e-5)
    assert folder.config.mean == VIT_CONFIG.mean


def test_the_image_tower_must_be_named_and_fit(tmp_path: Path, images: ModelFolder) -> None:
    source, models = tmp_path / "source", tmp_path / "models"
    source.mkdir()
    m_clip(source)
    with pytest.raises(CheckpointError, match='a text tower alone.*"image_tower": "ViT-B/32"'):
        resolve(source, download_root=models)
    with_image_tower(source, "M-CLIP", ".")
    with pytest.raises(CheckpointError, match="names this text tower itself"):
        resolve(source, download_root=models)
    with_image_tower(source, "M-CLIP", "no such model")
    with pytest.raises(ModelNotFound, match="no such model"):
        resolve(source, download_root=models)
    with_image_tower(source, "M-CLIP", images.path)
    weights = torch.load(source / "pytorch_model.bin", weights_only=True)
    for name in ("weight", "bias"):
        weights[f"LinearTransformation.{name}"] = weights[f"LinearTransformation.{name}"][:40]
    torch.save(weights, source / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="40 numbers, and the pictures .* 48; name the model"):
        resolve(source, download_root=models)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"activation": "relu"}, "sets activation = 'relu'"),
        ("1_Pooling/config.json", {"pooling_mode": "cls"}, "pools texts in another way"),
        ("1_Pooling/config.json", {"pooling_mode_cls_token": True}, "pools texts in another way"),
        (
            "2_Dense/config.json",
            {"activation_function": "torch.nn.Tanh"},
            "sets activation_function",
        ),
        ("vocab.txt", None, "its word pieces are missing"),
        ("modules.json", None, "modules.json names nothing, not Transformer, Pooling, Dense"),
        ("2_Dense/model.safetensors", None, "2_Dense holds none of model.safetensors"),
    ],
)
def test_other_sentence_transformers_are_refused(
    tmp_path: Path,
    images: ModelFolder,
    written: Path,
    file: str,
    change: dict[str, Any] | None,
    message: str,
) -> None:
    source = tmp_path / "source"
    shutil.copytree(written, source)
    with_image_tower(source, "sentence-transformers", images.path)
    if change is None:
        (source / file).unlink()
    else:
        held = json.loads((source / file).read_text())
        (source / file).write_text(json.dumps(held | change))
    with pytest.raises(CheckpointError, match=message):
        resolve(source, download_root=tmp_path / "models")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sentence-transformers") / "model"
    sentence_transformer(folder)
    return folder


def test_another_base_of_m_clip_is_refused(tmp_path: Path) -> None:
    m_clip(tmp_path)
    (tmp_path / "config.json").write_text('{"modelBase": "sentence-transformers/LaBSE"}')
    with pytest.raises(CheckpointError, match="sets modelBase = 'sentence-transformers/LaBSE'"):
        resolve(tmp_path, download_root=tmp_path / "models")


def test_another_dense_layer_makes_another_model(
    tmp_path: Path, images: ModelFolder, written: Path
) -> None:
    source, models = tmp_path / "source", tmp_path / "models"
    shutil.copytree(written, source)
    with_image_tower(source, "sentence-transformers", images.path)
    first = resolve(source, download_root=models)
    dense = source / "2_Dense" / "model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(dense).items()}, dense)
    second = resolve(source, download_root=models)
    assert first.digest != second.digest
