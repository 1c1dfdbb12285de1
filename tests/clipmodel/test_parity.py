"""Our models against the references themselves: random weights, every family, every layout."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clipmodel.model import CLIP
from tests.clipmodel.small import FAMILIES, MEAN, STD, loaded, model_cfg, pictures, texts

Build = Callable[[str], nn.Module]


def openclip_config(folder: Path, family: str) -> None:
    held = {"model_cfg": model_cfg(family), "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(held))


def assert_same(ours: CLIP, image: Tensor, text: Tensor, logits: Tensor) -> None:
    """Both towers and the logits, to 1e-5."""
    with torch.no_grad():
        pixels, tokens = pictures(ours.config), texts(ours.config)
        torch.testing.assert_close(ours.encode_image(pixels), image, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.encode_text(tokens), text, atol=1e-5, rtol=0)
        per_image, per_text = ours(pixels, tokens)
    torch.testing.assert_close(per_image, logits, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(per_text, logits.T, atol=1e-5, rtol=1e-6)


def assert_openclip(ours: CLIP, reference: nn.Module) -> None:
    pixels, tokens = pictures(ours.config), texts(ours.config)
    with torch.no_grad():
        assert_same(
            ours,
            reference.encode_image(pixels),
            reference.encode_text(tokens),
            reference.get_logits(pixels, tokens)[0],
        )


def save(model: nn.Module, file: Path) -> None:
    """As OpenCLIP does: its training wraps the weights, its hub files do not."""
    weights = model.state_dict()
    if file.suffix == ".safetensors":
        save_file(weights, file)
    elif file.suffix == ".pt":
        wrapped = {f"module.{name}": tensor for name, tensor in weights.items()}
        torch.save({"epoch": 3, "name": "a run", "state_dict": wrapped}, file)
    else:
        torch.save(weights, file)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt"])
def test_openclip(tmp_path: Path, openclip: Build, family: str, suffix: str) -> None:
    reference = openclip(family)
    save(reference, tmp_path / f"open_clip_model{suffix}")
    openclip_config(tmp_path, family)
    ours = loaded(tmp_path / f"open_clip_model{suffix}")
    assert_openclip(ours, reference)
    assert (ours.config.mean, ours.config.std) == (MEAN, STD)


def test_openclip_with_a_text_tower_of_its_own(tmp_path: Path) -> None:
    """CustomTextCLIP: the text tower's weights under `text.`."""
    from open_clip.model import CustomTextCLIP

    from tests.clipmodel.small import shake

    reference = shake(CustomTextCLIP(**model_cfg("vit quick_gelu")))
    save(reference, tmp_path / "open_clip_model.safetensors")
    openclip_config(tmp_path, "vit quick_gelu")
    assert_openclip(loaded(tmp_path), reference)


def test_what_a_user_wrote_beside_a_checkpoint(tmp_path: Path, openclip: Build) -> None:
    reference = openclip("narrow heads")
    save(reference, tmp_path / "a.bin")
    settings = {"activation": "quick_gelu", "head_width": 16, "mean": MEAN, "std": STD}
    (tmp_path / "a.bin.json").write_text(json.dumps(settings))
    assert_openclip(loaded(tmp_path / "a.bin"), reference)


def with_marks(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """What OpenAI keeps beside the weights."""
    numbers = {"input_resolution": 32, "context_length": 12, "vocab_size": 60}
    return weights | {name: torch.tensor(number) for name, number in numbers.items()}


@pytest.mark.parametrize("family", ["vit quick_gelu", "resnet"])
def test_openai_state_dict(tmp_path: Path, openclip: Build, family: str) -> None:
    reference = openclip(family)
    torch.save(with_marks(reference.state_dict()), tmp_path / "model.pt")
    assert_openclip(loaded(tmp_path / "model.pt"), reference)


class Archive(nn.Module):
    """The weights of a model under its names, as a module that TorchScript can compile."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in weights.items():
            *parents, last = name.split(".")
            module: nn.Module = self
            for parent in parents:
                if not hasattr(module, parent):
                    module.add_module(parent, Branch())
                module = getattr(module, parent)
            module.register_buffer(last, tensor.clone())

    def forward(self, image: Tensor) -> Tensor:
        return image * 1.702


class Branch(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image


def script(weights: dict[str, Tensor], file: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is on its way out
        torch.jit.save(
            torch.jit.trace(Archive(weights), torch.zeros(1), check_trace=False), str(file)
        )


@pytest.mark.parametrize("family", ["vit quick_gelu", "resnet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_openai_archive(tmp_path: Path, openclip: Build, family: str, dtype: torch.dtype) -> None:
    from copy import deepcopy

    reference = deepcopy(openclip(family)).to(dtype).float()
    weights = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in reference.state_dict().items()
    }
    script(with_marks(weights), tmp_path / "ViT-B-32.pt")
    assert_openclip(loaded(tmp_path / "ViT-B-32.pt"), reference)


@pytest.mark.parametrize(("activation", "safe"), [("quick_gelu", True), ("gelu", False)])
def test_huggingface(tmp_path: Path, huggingface: Build, activation: str, safe: bool) -> None:
    reference = huggingface(activation)
    reference.save_pretrained(tmp_path)
    if not safe:
        (tmp_path / "model.safetensors").unlink()
        torch.save(reference.state_dict(), tmp_path / "pytorch_model.bin")
    transform = {"image_mean": MEAN, "image_std": STD, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(transform))
    ours = loaded(tmp_path)
    with torch.no_grad():
        pixels, tokens = pictures(ours.config), texts(ours.config)
        image = reference.visual_projection(reference.vision_model(pixels).pooler_output)
        text = reference.text_projection(reference.text_model(tokens).pooler_output)
        logits = reference(input_ids=tokens, pixel_values=pixels).logits_per_image
    assert_same(ours, image, text, logits)
    assert (ours.config.mean, ours.config.std) == (MEAN, STD)
