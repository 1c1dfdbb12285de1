"""OpenCLIP's names: an architecture and a file of weights, or the tag of published ones."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from clipmodel.errors import DownloadError, ModelNotFound
from clipmodel.hub.registry import OPENAI_MEAN
from clipmodel.pretrained import is_cached, resolve

SMALL = "ViT-S-32-alt"  # among OpenCLIP's architectures


def weights_of(arch: str) -> dict[str, Tensor]:
    import open_clip
    from open_clip.model import CLIP

    config = open_clip.get_model_config(arch)
    config["vision_cfg"]["layers"] = config["text_cfg"]["layers"] = 1
    return {name: tensor.half() for name, tensor in CLIP(**config).state_dict().items()}


def test_a_file_of_an_architecture(tmp_path: Path) -> None:
    torch.save(weights_of(SMALL), tmp_path / "mine.pt")
    models, name = tmp_path / "models", f"open_clip:{SMALL}/{tmp_path / 'mine.pt'}"
    folder = resolve(name, download_root=models)
    assert (folder.name, folder.config.mean) == (name, OPENAI_MEAN)
    assert folder.config.text.activation == "gelu"  # type: ignore[attr-defined]
    assert is_cached(name, download_root=models)
    (tmp_path / "mine.pt").unlink()
    assert resolve(name, download_root=models, download=False).digest == folder.digest


def test_what_openclip_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model 'ViT-B-33'; did you mean ViT-B-32"):
        resolve("open_clip:ViT-B-33/openai", download_root=tmp_path)
    with pytest.raises(ModelNotFound, match="open_clip:ViT-B-32 has no weights 'x'; give openai"):
        resolve("open_clip:ViT-B-32/x", download_root=tmp_path)
    with pytest.raises(ModelNotFound, match="downloads are not allowed"):
        resolve("open_clip:ViT-B-32/openai", download_root=tmp_path, download=False)


def test_without_a_network_it_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(DownloadError, match="patch32_clip_224.openai is not in the Hug") as raised:
        resolve("open_clip:ViT-B-32/openai", download_root=tmp_path / "models")
    assert "\n" not in str(raised.value)
