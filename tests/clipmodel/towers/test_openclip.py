"""Image towers that OpenCLIP builds, with its own text towers: parity on random weights."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.config import OpenClipVisionConfig
from clipmodel.errors import CheckpointError
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.tokenizer import token_ids
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.torch_backend.loading import load_model
from tests.clipmodel.small import MEAN, STD, pictures, shake

DIM = 24
OWN = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 32}
TEXT = {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2}
TOWERS: dict[str, dict[str, Any]] = {
    "CLIPA": OWN | {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
    "another epsilon": OWN | {"norm_kwargs": {"eps": 1e-3}},
    "tanh": OWN | {"act_kwargs": {"approximate": "tanh"}},
    "layer scale": OWN | {"ls_init_value": 0.1},
    "CoCa": OWN | {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True},
    "ConvNeXt": {"timm_model_name": "test_convnext", "timm_pool": "", "image_size": 64},
    "rotary positions": {
        "timm_model_name": "vit_pe_core_tiny_patch16_384",
        "timm_pool": "map",
        "timm_proj": None,
        "image_size": 384,
    },
}


def written(folder: Path, vision: dict[str, Any], **text: Any) -> nn.Module:
    """OpenCLIP's model of a config, with its files."""
    from open_clip.model import CustomTextCLIP

    model_cfg = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": TEXT | text}
    torch.manual_seed(0)
    plain = {key: value for key, value in vision.items() if key != "output_tokens"}
    reference = shake(CustomTextCLIP(**model_cfg | {"vision_cfg": plain}))
    held = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    held["preprocess_cfg"] |= {"size": vision["image_size"], "resize_mode": "squash"}
    (folder / "open_clip_config.json").write_text(json.dumps(held))
    weights = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    return reference


@pytest.mark.parametrize("tower", TOWERS)
def test_pictures_and_texts_are_the_references(tmp_path: Path, tower: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    reference = written(source, TOWERS[tower])
    folder = resolve(source, download_root=tmp_path / "models")
    model = load_model(folder, "cpu")
    assert isinstance(folder.config.vision, OpenClipVisionConfig)
    image = pictures(folder.config, 2)
    ids = torch.from_numpy(token_ids(["a red car", "dogs"], 32))
    with torch.inference_mode():
        theirs, words = reference.encode_image(image), reference.encode_text(ids)
        torch.testing.assert_close(model.encode_image(image), theirs, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.encode_text(ids), words, atol=1e-5, rtol=0)
    texts = TextEncoder(folder).encode(["a red car", "dogs"])
    np.testing.assert_allclose(texts, nn.functional.normalize(words).numpy(), atol=1e-5)
    assert_encoders(folder, reference)


def assert_encoders(folder: ModelFolder, reference: nn.Module) -> None:
    """Both encoders of pictures, from bytes."""
    side = folder.config.vision.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - mean) / std
        wanted = nn.functional.normalize(reference.encode_image(batch)).numpy()
    quick = ImageEncoder(folder, device="cpu", precision="fp32").encode(pixels)
    np.testing.assert_allclose(quick, wanted, atol=1e-5)
    np.testing.assert_allclose(NumpyImageEncoder(folder).encode(pixels), wanted, atol=1e-5)
    halves = ImageEncoder(folder, device="cpu", precision="bf16").encode(pixels)
    assert (halves * wanted).sum(1).min() > 0.99


def test_a_text_that_sees_its_padding(tmp_path: Path) -> None:
    """MobileCLIP's: not causal, read at the end of the text."""
    source = tmp_path / "source"
    source.mkdir()
    reference = written(source, OWN, no_causal_mask=True)
    folder = resolve(source, download_root=tmp_path / "models")
    texts = ["a red car", "dogs", ""]
    with torch.inference_mode():
        theirs = reference.encode_text(torch.from_numpy(token_ids(texts, 32)))
    ours = TextEncoder(folder).encode(texts)
    np.testing.assert_allclose(ours, nn.functional.normalize(theirs).numpy(), atol=1e-5)


def test_the_text_of_coca(tmp_path: Path) -> None:
    """A class token after the context; texts of all lengths, as its mask depends on theirs."""
    source = tmp_path / "source"
    source.mkdir()
    reference = written(source, TOWERS["CoCa"], embed_cls=True, context_length=10)
    held = json.loads((source / "open_clip_config.json").read_text())
    held["model_cfg"]["multimodal_cfg"] = {"width": 64, "layers": 1}
    (source / "open_clip_config.json").write_text(json.dumps(held))
    weights = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    weights["text_decoder.ln_final.weight"] = torch.ones(64)  # it writes captions
    save_file(weights, source / "model.safetensors")
    folder = resolve(source, download_root=tmp_path / "models")
    texts = ["a red car", "", "a dog", "a " * 30, "one two three four five six seven"]
    assert_same_texts(folder, reference, texts, 10)


def assert_same_texts(
    folder: ModelFolder, reference: Any, texts: list[str], context_length: int
) -> None:
    """Both of our text towers give the vectors of OpenCLIP's."""
    ids = torch.from_numpy(token_ids(texts, context_length, True))
    with torch.inference_mode():
        theirs = reference.encode_text(ids)
        ours = load_model(folder, "cpu").encode_text(ids)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    unit = nn.functional.normalize(theirs).numpy()
    np.testing.assert_allclose(TextEncoder(folder).encode(texts), unit, atol=1e-5)


def test_a_text_without_a_projection(tmp_path: Path) -> None:
    """SigLIP's, of the international kind."""
    source = tmp_path / "source"
    source.mkdir()
    reference = written(source, OWN, proj_type="none", width=DIM, heads=1)
    folder = resolve(source, download_root=tmp_path / "models")
    assert_same_texts(folder, reference, ["a red car", "", "a dog"], 32)


def test_a_text_does_not_wait_for_the_extra(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    written(source, TOWERS["CLIPA"])
    folder = resolve(source, download_root=tmp_path / "models")
    program = (
        "import sys; from pathlib import Path\n"
        "from clipmodel.model_folder import ModelFolder\n"
        "from clipmodel.numpy_backend.text_encoder import TextEncoder\n"
        f"TextEncoder(ModelFolder.open(Path({str(folder.path)!r}))).encode(['a red car'])\n"
        "assert not {'torch', 'timm', 'open_clip', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize(
    ("vision", "message"),
    [
        ({"timm_model_name": "no_such_tower"}, "OpenCLIP cannot build its image tower: "),
        ({"no_such_setting": 3}, "OpenCLIP cannot build its image tower: .*no_such_setting"),
        ({"timm_model_name": "naflexvit_base_patch16_siglip"}, "naflexvit.* no fixed size"),
    ],
)
def test_what_openclip_cannot_build(tmp_path: Path, vision: dict[str, Any], message: str) -> None:
    written(tmp_path, OWN)
    held = json.loads((tmp_path / "open_clip_config.json").read_text())
    held["model_cfg"]["vision_cfg"] |= vision
    (tmp_path / "open_clip_config.json").write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path)
