"""The layouts in which the same weights are stored: all are read, to the last number."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError, UnknownConfig
from clipmodel.families import as_json
from clipmodel.hub.registry import OPENAI_MEAN
from clipmodel.pretrained import is_cached, resolve
from clipmodel.towers.shapes import filed
from tests.clipmodel.small import MEAN, STD, VIT_CONFIG, model_of, write_openclip

Build = Callable[[str], nn.Module]


def assert_read(path: Path, wanted: dict[str, Tensor]) -> None:
    """Every weight, but for names and for the scale's shape."""
    weights, _ = read_checkpoint(path)
    for name, tensor in wanted.items():
        ours = name if name.startswith(("visual.", "logit_")) else f"text.{name}"
        torch.testing.assert_close(weights[ours], tensor, atol=0, rtol=0)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model_state_dict": weights, "optimizer_state_dict": {"lr": 1}},
        lambda weights: {"model": weights, "args": {}},
        lambda weights: {f"_orig_mod.{name}": tensor for name, tensor in weights.items()},
        lambda weights: {f"module._orig_mod.{name}": t for name, t in weights.items()},
        lambda weights: {
            f"model.{name}".replace("visual.", "visual._orig_mod."): t
            for name, t in weights.items()
        },
        lambda weights: {"state_dict": {f"_orig_mod.module.{n}": t for n, t in weights.items()}},
    ],
)
def test_wrapped_weights(
    tmp_path: Path, weights: dict[str, Tensor], wrap: Callable[[Any], Any]
) -> None:
    write_openclip(tmp_path, weights)
    torch.save(wrap(weights), tmp_path / "a.pt")
    assert_read(tmp_path / "a.pt", weights)


def in_shards(folder: Path, weights: dict[str, Tensor], stem: str = "model") -> None:
    """Two files and their index, as Hugging Face's packages write them."""
    names, places = sorted(weights), {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def test_sharded_weights(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    write_openclip(tmp_path, weights).unlink()
    in_shards(tmp_path, weights)
    assert_read(tmp_path, weights)
    assert_read(tmp_path / "model-00002-of-00002.safetensors", weights)
    assert_read(tmp_path / "model.safetensors.index.json", weights)


def test_another_shard_is_another_model(tmp_path: Path, openclip: Build) -> None:
    source, models = tmp_path / "source", tmp_path / "models"
    source.mkdir()
    weights = {name: t.clone() for name, t in openclip("whole vocabulary").state_dict().items()}
    write_openclip(source, weights, text_cfg=text_of(openclip)).unlink()
    in_shards(source, weights)
    digest = resolve(source, download_root=models).digest
    assert is_cached(source, download_root=models)
    weights["ln_final.bias"] += 1
    in_shards(source, weights)
    assert not is_cached(source, download_root=models)
    assert resolve(source, download_root=models).digest != digest


def text_of(openclip: Build) -> dict[str, Any]:
    from tests.clipmodel.small import model_cfg

    held: dict[str, Any] = model_cfg("whole vocabulary")["text_cfg"]
    return held


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"weight_map": {}}, "names no files beside it"),
        ({"weight_map": {"a": "../a.safetensors"}}, "names no files beside it"),
        ({"weight_map": {"a": 3}}, "names no files beside it"),
        ({"weight_map": {"a": "b.safetensors"}}, "lacks b.safetensors, which model.safetensors"),
    ],
)
def test_an_index_that_is_wrong(tmp_path: Path, index: dict[str, Any], message: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path)


def test_a_folder_of_sentence_transformers(tmp_path: Path, huggingface: Build) -> None:
    reference = huggingface("quick_gelu")
    reference.save_pretrained(tmp_path / "0_CLIPModel")
    pixels = {"image_mean": MEAN, "image_std": STD}
    (tmp_path / "0_CLIPModel/preprocessor_config.json").write_text(json.dumps(pixels))
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel"}
    kind = "sentence_transformers.models.CLIPModel"
    (tmp_path / "modules.json").write_text(json.dumps([module | {"type": kind}]))
    weights, config = read_checkpoint(tmp_path)
    theirs = reference.state_dict()["text_model.final_layer_norm.bias"]
    assert torch.equal(weights["text.ln_final.bias"], theirs) and config.mean == MEAN
    other = module | {"type": "sentence_transformers.models.Transformer"}
    (tmp_path / "modules.json").write_text(json.dumps([other]))
    with pytest.raises(CheckpointError, match="names no CLIPModel"):
        read_checkpoint(tmp_path)


def test_what_openais_code_halves_is_openais(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    """A state dict of OpenAI's model on a GPU: norms and embeddings stay whole."""
    whole = ("ln_", "positional", "class_embedding", "token_embedding", "logit_scale")
    halved = {n: t if any(w in n for w in whole) else t.half() for n, t in weights.items()}
    torch.save(halved, tmp_path / "a.pt")
    _, config = read_checkpoint(tmp_path / "a.pt")
    assert (config.text.activation, config.mean) == ("quick_gelu", OPENAI_MEAN)  # type: ignore[attr-defined]
    torch.save(weights, tmp_path / "a.pt")
    with pytest.raises(UnknownConfig, match="do not reveal the activation"):
        read_checkpoint(tmp_path / "a.pt")


def test_our_own_weights_beside_our_own_config(tmp_path: Path) -> None:
    state = model_of(VIT_CONFIG).state_dict()
    torch.save(state, tmp_path / "mine.pt")
    (tmp_path / "config.json").write_text(json.dumps(as_json(VIT_CONFIG)))
    weights, config = read_checkpoint(tmp_path / "mine.pt")
    assert config == VIT_CONFIG
    assert all(torch.equal(weights[filed(name)], tensor) for name, tensor in state.items())
    (tmp_path / "config.json").write_text(json.dumps(as_json(VIT_CONFIG) | {"vision": {}}))
    with pytest.raises(CheckpointError, match="config.json is damaged"):
        read_checkpoint(tmp_path / "mine.pt")


def test_a_remedy_names_only_what_is_missing(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = write_openclip(tmp_path, weights)
    held = json.loads((tmp_path / "open_clip_config.json").read_text())
    del held["preprocess_cfg"]["mean"]
    (tmp_path / "open_clip_config.json").write_text(json.dumps(held))
    with pytest.raises(UnknownConfig, match="do not reveal the mean of the pixels; put"):
        read_checkpoint(path)
    path.with_name("model.safetensors.json").write_text(json.dumps({"mean": MEAN}))
    _, config = read_checkpoint(path)
    assert (config.mean, config.std) == (MEAN, STD)
