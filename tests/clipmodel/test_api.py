"""`import clipmodel as clip`: the examples of OpenAI's README, as they stand there."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import clipmodel as clip
from clipmodel.config import ModelConfig, TextConfig, VisionConfig
from clipmodel.errors import CheckpointError, ModelNotFound
from clipmodel.hub.registry import OPENAI_MEAN, OPENAI_STD
from clipmodel.model import CLIP
from clipmodel.pretrained import ModelFolder, save_folder
from tests.clipmodel.small import shake

SMALL = ModelConfig(
    embed_dim=32,
    vision=VisionConfig(32, 8, 64, 2, 1, 256, "quick_gelu"),
    text=TextConfig(77, 49408, 64, 2, 1, 256, "quick_gelu"),
    mean=OPENAI_MEAN,
    std=OPENAI_STD,
)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """A cache in which a small model stands under the name ViT-B/32."""
    monkeypatch.setenv("RETRIEVE_MODELS", str(tmp_path / "models"))
    torch.manual_seed(0)
    weights = shake(CLIP.of(SMALL)).state_dict()
    return save_folder(tmp_path / "models" / "ViT-B-32", "ViT-B/32", SMALL, weights)


def test_zero_shot_prediction(
    small: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.effect_noise((90, 60), 80).save("CLIP.png")

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, preprocess = clip.load("ViT-B/32", device=device)

    image = preprocess(Image.open("CLIP.png")).unsqueeze(0).to(device)
    text = clip.tokenize(["a diagram", "a dog", "a cat"]).to(device)

    with torch.no_grad():
        image_features = model.encode_image(image)
        text_features = model.encode_text(text)

        logits_per_image, logits_per_text = model(image, text)
        probs = logits_per_image.softmax(dim=-1).cpu().numpy()

    assert image_features.shape == (1, 32) and text_features.shape == (3, 32)
    assert logits_per_image.shape == (1, 3) and logits_per_text.shape == (3, 1)
    assert probs.shape == (1, 3) and abs(probs.sum() - 1) < 1e-3
    image_features /= image_features.norm(dim=-1, keepdim=True)
    text_features /= text_features.norm(dim=-1, keepdim=True)
    expected = model.logit_scale.exp() * image_features @ text_features.T
    torch.testing.assert_close(logits_per_image, expected, atol=1e-4, rtol=1e-4)


class Colours(torch.utils.data.Dataset[Any]):
    """Stands for CIFAR100, which cannot be downloaded everywhere: plain pictures, two classes."""

    def __init__(self, root: str, download: bool, train: bool, transform: Any) -> None:
        self.transform = transform
        self.seed = int(train)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index >= len(self):
            raise IndexError(index)
        shade = np.random.default_rng([self.seed, index]).integers(100, 255)
        colour = (int(shade), 0, 0) if index % 2 else (0, 0, int(shade))
        return self.transform(Image.new("RGB", (32, 32), colour)), index % 2


def test_linear_probe(small: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    import torchvision.datasets

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", Colours)
    from torch.utils.data import DataLoader
    from torchvision.datasets import CIFAR100

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, preprocess = clip.load("ViT-B/32", device)

    root = os.path.expanduser("~/.cache")
    train = CIFAR100(root, download=True, train=True, transform=preprocess)
    test = CIFAR100(root, download=True, train=False, transform=preprocess)

    def get_features(dataset: Any) -> tuple[Any, Any]:
        all_features = []
        all_labels = []

        with torch.no_grad():
            for images, labels in DataLoader(dataset, batch_size=100):
                features = model.encode_image(images.to(device))

                all_features.append(features)
                all_labels.append(labels)

        return torch.cat(all_features).cpu().numpy(), torch.cat(all_labels).cpu().numpy()

    train_features, train_labels = get_features(train)
    test_features, test_labels = get_features(test)

    # The README's classifier is scikit-learn's; least squares do for two colours.
    weights = np.linalg.lstsq(train_features, 2.0 * train_labels - 1, rcond=1e-3)[0]
    predictions = (test_features @ weights > 0).astype(int)
    accuracy = np.mean((test_labels == predictions).astype(float)) * 100.0
    assert accuracy > 90


def test_a_model_as_it_is_loaded(small: ModelFolder) -> None:
    model, preprocess = clip.load("ViT-B/32", device="cpu")
    assert not model.training
    assert model.dtype == torch.float32
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model.visual.input_resolution == 32
    assert (model.context_length, model.vocab_size) == (77, 49408)
    pixels = preprocess(Image.new("RGB", (40, 50)))
    assert pixels.shape == (3, 32, 32) and pixels.dtype == torch.float32
    model.encode_image(pixels[None]).sum().backward()  # it may be trained further
    assert model.visual.conv1.weight.grad is not None


def test_half_weights_as_on_cuda(small: ModelFolder) -> None:
    """Which weights are float16, and that every dtype along the way fits."""
    from clipmodel.model import convert_weights, in_dtype
    from clipmodel.torch_backend.loading import load_model

    full = load_model(small, "cpu")
    half = load_model(small, "cpu")
    in_dtype(half, torch.float16)
    floats = {name for name, p in half.named_parameters() if p.dtype == torch.float32}
    whole = ("ln_", "embedding", "logit_scale")  # a half of the rest, as in OpenAI's checkpoints
    assert floats == {name for name, _ in half.named_parameters() if any(w in name for w in whole)}
    convert_weights(full)
    assert floats == {name for name, p in full.named_parameters() if p.dtype == torch.float32}
    full.float()
    pixels, text = torch.randn(2, 3, 32, 32), clip.tokenize(["a dog", "a cat"])
    with torch.no_grad():
        assert half.encode_image(pixels).dtype == torch.float16
        assert half.encode_text(text).dtype == torch.float16
        for ours, theirs in zip(half(pixels, text), full(pixels, text), strict=True):
            torch.testing.assert_close(ours.float(), theirs, atol=0.1, rtol=0.02)


def test_paths_and_download_root(small: ModelFolder, tmp_path: Path) -> None:
    by_path, _ = clip.load(small.path, device="cpu")
    by_name, _ = clip.load("ViT-B/32", "cpu", False, str(tmp_path / "models"))
    text = clip.tokenize("a dog")
    assert torch.equal(by_path.encode_text(text), by_name.encode_text(text))


def test_what_cannot_be_loaded(small: ModelFolder) -> None:
    with pytest.raises(ModelNotFound, match="such as tiny.*`retrieve models` lists"):
        clip.load("ViT-Z/99")
    with pytest.raises(RuntimeError, match="no model 'nonsense'"):  # as OpenAI's package has it
        clip.load("nonsense")
    whole = small.vision_file.read_bytes()
    small.vision_file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        clip.load("ViT-B/32", device="cpu")


def test_tokenize() -> None:
    tokens = clip.tokenize("Hello World!")
    assert tokens.dtype == torch.int32 and tokens.shape == (1, 77)
    assert tokens[0, :6].tolist() == [49406, 3306, 1002, 256, 49407, 0]
    assert clip.tokenize(["a", "b"], context_length=5).shape == (2, 5)
    for error in (RuntimeError, ValueError):  # OpenAI's, and that of earlier versions
        with pytest.raises(error, match="word word"):
            clip.tokenize("word " * 100)
    assert clip.tokenize("word " * 100, truncate=True)[0, -1] == 49407


def test_available_models() -> None:
    assert len(clip.available_models()) == 9 and "ViT-B/32" in clip.available_models()


def test_importing_imports_no_torch() -> None:
    code = (
        "import sys, clipmodel, clipmodel.pretrained; clipmodel.available_models();"
        "print(sorted({'torch', 'torchvision', 'PIL', 'safetensors.torch'} & set(sys.modules)))"
    )
    root = Path(clip.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
