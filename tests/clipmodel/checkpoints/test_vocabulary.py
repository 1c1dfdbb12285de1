"""Words of a model: CLIP's vocabulary, or a clear no."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from torch import nn

from clipmodel.errors import CheckpointError
from clipmodel.pretrained import resolve
from clipmodel.tokenizer import token_ids, vocabulary
from tests.clipmodel.small import MEAN, STD, model_cfg

Build = Callable[[str], nn.Module]


@pytest.fixture(autouse=True)
def _models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETRIEVE_MODELS", str(tmp_path / "models"))


def save(folder: Path, openclip: Build, family: str, **files: Any) -> Path:
    folder.mkdir()
    pixels = {"mean": MEAN, "std": STD, "size": 32}
    config = {"model_cfg": model_cfg(family), "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    for name, held in files.items():
        (folder / f"{name}.json").write_text(json.dumps(held))
    weights = {name: t.clone() for name, t in openclip(family).state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    return folder


def test_the_vocabulary_is_the_tokenizers() -> None:
    known = vocabulary()
    assert sorted(known.values()) == list(range(49_408))
    words = ["<|startoftext|>", "a</w>", "photo</w>", "of</w>", "dogs</w>", "<|endoftext|>"]
    assert token_ids("a photo of dogs")[0, :6].tolist() == [known[word] for word in words]


def test_files_of_clips_own_tokenizer_are_welcome(tmp_path: Path, openclip: Build) -> None:
    special = [{"content": name, "id": id} for name, id in vocabulary().items() if id >= 49_406]
    tokenizer = {"model": {"type": "BPE", "vocab": vocabulary()}, "added_tokens": special}
    folder = save(
        *(tmp_path / "a", openclip, "whole vocabulary"), tokenizer=tokenizer, vocab=vocabulary()
    )
    assert resolve(str(folder)).config.text.vocab_size == 49_408


def other(name: str) -> dict[str, Any]:
    """A vocabulary of as many words, two of which have each other's ids."""
    swapped = vocabulary()
    swapped["a</w>"], swapped["of</w>"] = swapped["of</w>"], swapped["a</w>"]
    return {name: swapped if name == "vocab" else {"model": {"vocab": swapped}}}


@pytest.mark.parametrize("name", ["vocab", "tokenizer"])
def test_other_words_are_refused(tmp_path: Path, openclip: Build, name: str) -> None:
    folder = save(tmp_path / "a", openclip, "whole vocabulary", **other(name))
    with pytest.raises(CheckpointError, match=rf"{name}\.json is not CLIP's vocabulary"):
        resolve(str(folder))


def test_a_vocabulary_of_another_size_is_refused(tmp_path: Path, openclip: Build) -> None:
    with pytest.raises(CheckpointError, match="has 60 tokens, not the 49,408 of CLIP's"):
        resolve(str(save(tmp_path / "a", openclip, "vit quick_gelu")))


def test_what_an_older_version_converted_is_read_again(tmp_path: Path, openclip: Build) -> None:
    folder = save(tmp_path / "a", openclip, "whole vocabulary")
    resolve(str(folder))
    [note] = (tmp_path / "models").glob("path-*.json")
    held = json.loads(note.read_text())
    note.write_text(json.dumps({key: held[key] for key in ("folder", "files")}))
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not CLIP's vocabulary"):
        resolve(str(folder))
