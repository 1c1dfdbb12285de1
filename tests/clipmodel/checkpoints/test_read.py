"""Checkpoints that are wrong or incomplete: a clear error each."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError, ModelNotFound, UnknownConfig
from clipmodel.hub.registry import OPENAI_MEAN, REGISTRY
from clipmodel.preprocess import to_pixels, transform
from tests.clipmodel.small import MEAN, STD, write_openclip

Build = Callable[[str], nn.Module]


# --- weights that do not fit ---


def test_unknown_weights_are_named(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    weights["visual.extra"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: .*visual\.extra"):
        read_checkpoint(write_openclip(tmp_path, weights))


@pytest.mark.parametrize("name", ["logit_scale", "visual.ln_pre.bias"])
def test_missing_weights_are_named(tmp_path: Path, weights: dict[str, Tensor], name: str) -> None:
    del weights[name]
    with pytest.raises(CheckpointError, match=f"lack.*{name}"):
        read_checkpoint(write_openclip(tmp_path, weights))


def test_a_text_tower_without_projection_has_to_fit_the_pictures(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    del weights["text_projection"]
    with pytest.raises(CheckpointError, match=r"shape \(128, 24\), not \(128, 64\)"):
        read_checkpoint(write_openclip(tmp_path, weights))


def test_wrong_shapes_are_named(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    weights["ln_final.weight"] = torch.ones(65)
    with pytest.raises(
        CheckpointError, match=r"ln_final\.weight has the shape \(65,\), not \(64,\)"
    ):
        read_checkpoint(write_openclip(tmp_path, weights))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(
    tmp_path: Path, weights: dict[str, Tensor], bad: float
) -> None:
    weights["ln_final.weight"][3] = bad
    with pytest.raises(CheckpointError, match="ln_final.weight holds values that are not numbers"):
        read_checkpoint(write_openclip(tmp_path, weights))


def test_quantised_weights_are_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    weights["ln_final.weight"] = torch.ones(64, dtype=torch.int8)
    with pytest.raises(CheckpointError, match="int8"):
        read_checkpoint(write_openclip(tmp_path, weights))


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("visual.trunk.stages.0.conv.weight", "timm"),
        ("visual.attn_pool.query", "attentional pool"),
        ("transformer.resblocks.0.ls_1.gamma", "layer scale"),
    ],
)
def test_relatives_of_clip_are_refused(
    tmp_path: Path, weights: dict[str, Tensor], name: str, what: str
) -> None:
    weights[name] = torch.ones(3)
    with pytest.raises(CheckpointError, match=f"layout not supported: .*{what}"):
        read_checkpoint(write_openclip(tmp_path, weights))


@pytest.mark.parametrize(
    "config",
    [
        {"text_cfg": {"pool_type": "first"}},
        {"text_cfg": {"hf_model_name": "roberta-base"}},
        {"text_cfg": {"norm_kwargs": {"eps": 1e-3}}},
    ],
)
def test_settings_that_compute_something_else_are_refused(
    tmp_path: Path, weights: dict[str, Tensor], config: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError, match="layout not supported: .*open_clip_config.json sets"):
        read_checkpoint(write_openclip(tmp_path, weights, **config))


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "random"])
def test_pictures_are_resized_as_openclip_does(
    tmp_path: Path, weights: dict[str, Tensor], mode: str, interpolation: str
) -> None:
    from open_clip.transform import PreprocessCfg, image_transform_v2

    path = write_openclip(tmp_path, weights)
    held = json.loads((tmp_path / "open_clip_config.json").read_text())
    pixels = held["preprocess_cfg"] | {"resize_mode": mode, "interpolation": interpolation}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(held | {"preprocess_cfg": pixels}))
    if mode == "longest":
        with pytest.raises(CheckpointError, match="sets preprocess_cfg.resize_mode = 'longest'"):
            read_checkpoint(path)
        return
    _, config = read_checkpoint(path)
    noise = np.random.default_rng(0).integers(0, 256, (60, 91, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    theirs = image_transform_v2(PreprocessCfg(**pixels | {"size": 32}), is_train=False)(picture)
    torch.testing.assert_close(transform(config)(picture), theirs, atol=0, rtol=0)
    ours = (to_pixels(picture, config.pixels) / 255 - config.mean) / config.std
    np.testing.assert_allclose(ours.transpose(2, 0, 1), theirs, rtol=1e-4, atol=1e-4)


def test_not_a_clip(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.ones(3, 3)}, tmp_path / "resnet50.safetensors")
    with pytest.raises(CheckpointError, match="not the weights of a CLIP; .* conv1.weight"):
        read_checkpoint(tmp_path / "resnet50.safetensors")


def test_not_a_checkpoint_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        read_checkpoint(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="holds none of model.safetensors"):
        read_checkpoint(tmp_path)


# --- what weights do not reveal ---


def test_what_is_unknown_is_asked_for(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    save_file(weights, tmp_path / "a.safetensors")
    with pytest.raises(UnknownConfig, match=r"the activation.*head.*mean.*a\.safetensors\.json"):
        read_checkpoint(tmp_path / "a.safetensors")
    known = {"activation": "gelu", "head_width": 64, "std": STD}
    (tmp_path / "a.safetensors.json").write_text(json.dumps(known))
    with pytest.raises(UnknownConfig, match="do not reveal the mean of the pixels; put"):
        read_checkpoint(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors.json").write_text(json.dumps(known | {"mean": MEAN}))
    _, config = read_checkpoint(tmp_path / "a.safetensors")
    assert (config.text.activation, config.vision.heads, config.mean) == ("gelu", 2, MEAN)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"activation": "relu"}, "'relu' is not supported, only quick_gelu, gelu, gelu_tanh"),
        ({"head_width": 0}, "head_width is 0"),
        ({"mean": [0.5]}, "not three numbers"),
        ({"heads": 8}, "sets heads; it may set activation"),
        ([], "not a JSON object"),
    ],
)
def test_what_a_user_wrote_wrongly(
    tmp_path: Path, weights: dict[str, Tensor], wrong: object, message: str
) -> None:
    save_file(weights, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors.json").write_text(json.dumps(wrong))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_head_width_that_does_not_divide(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = write_openclip(tmp_path, weights, vision_cfg={"head_width": 60})
    with pytest.raises(CheckpointError, match="width 128 does not divide into heads of 60"):
        read_checkpoint(path)


def test_a_config_given_takes_precedence_and_must_fit(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    path = write_openclip(tmp_path, weights)
    _, config = read_checkpoint(path)
    given = replace(config, mean=OPENAI_MEAN)
    assert read_checkpoint(path, given)[1].mean == OPENAI_MEAN
    with pytest.raises(CheckpointError, match="it lacks: "):
        read_checkpoint(path, REGISTRY["ViT-B/32"].config)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_type": "blip"}, "'blip'"),
        ({"text_config": {"hidden_act": "gelu_new"}}, "gelu_new"),
        ({"text_config": {"eos_token_id": 7}}, "ends texts with 7"),
        ({"vision_config": {"layer_norm_eps": 1e-6}}, "layer_norm_eps"),
        ({}, "the mean of the pixels"),
    ],
)
def test_huggingface_configs(
    tmp_path: Path, huggingface: Build, wrong: dict[str, Any], message: str
) -> None:
    huggingface("gelu").save_pretrained(tmp_path)
    held = json.loads((tmp_path / "config.json").read_text())
    for key, value in wrong.items():
        held[key] = held[key] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path)
