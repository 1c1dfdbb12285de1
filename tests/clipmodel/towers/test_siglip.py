"""SigLIP and SigLIP 2 against Hugging Face's and OpenCLIP's own, on random weights."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from clipmodel.config import SiglipVisionConfig, TextConfig
from clipmodel.errors import CheckpointError
from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.image_encoder import NumpyImageEncoder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.torch_backend import inference
from clipmodel.torch_backend.image_encoder import ImageEncoder
from clipmodel.torch_backend.loading import load_model
from clipmodel.towers.sentencepieces import canonical
from tests.clipmodel.small import pictures, shake
from tests.clipmodel.vocabularies import pieces

CONTEXT, SIDE, PATCH, WIDTH = 16, 35, 8, 128  # the last 3 pixels are beside the patches
TEXTS = ["a dog", "Two red_cars, in the SNOW!", "", "le toit 犬", "the dogs and the cat " * 5]


@pytest.fixture(scope="module", params=["siglip", "siglip2"])
def kind(request: pytest.FixtureRequest) -> str:
    """Whose vocabulary it is."""
    return str(request.param)


@pytest.fixture(scope="module")
def vocab_size(kind: str) -> int:
    return int(sentencepiece.SentencePieceProcessor(model_proto=pieces(kind)).get_piece_size())


def write_vocabulary(folder: Path, kind: str) -> None:
    name = "spiece.model" if kind == "siglip" else "tokenizer.model"
    (folder / name).write_bytes(pieces(kind))
    end = "</s>" if kind == "siglip" else "<eos>"
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": end}))


@pytest.fixture(scope="module")
def huggingface(kind: str, vocab_size: int, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(their model, its folder)."""
    from transformers import SiglipConfig, SiglipModel

    tower = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = tower | {"vocab_size": vocab_size, "max_position_embeddings": CONTEXT}
    vision = tower | {"image_size": SIDE, "patch_size": PATCH}
    torch.manual_seed(0)
    wide = {"intermediate_size": 192}
    reference = shake(
        SiglipModel(SiglipConfig(text_config=text | wide, vision_config=vision | wide))
    )
    folder = tmp_path_factory.mktemp(kind)
    reference.save_pretrained(folder)
    pixels = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": SIDE, "width": SIDE},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "resample": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    write_vocabulary(folder, kind)
    return reference, folder


@pytest.fixture(scope="module")
def converted(huggingface: Any, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return resolve(huggingface[1], download_root=tmp_path_factory.mktemp("models"))


def ids_of(kind: str, texts: list[str], context: int = CONTEXT) -> Tensor:
    """Token ids as SigLIP's authors make them: pieces, the end, padding to the last place."""
    model = sentencepiece.SentencePieceProcessor(model_proto=pieces(kind))
    padding = 1 if kind == "siglip" else 0
    rows = [[*model.encode(canonical(text))[: context - 1], 1] for text in texts]
    return torch.tensor([row + [padding] * (context - len(row)) for row in rows])


def test_the_towers_are_the_references(huggingface: Any, converted: ModelFolder, kind: str) -> None:
    reference, _ = huggingface
    ours, tokens = load_model(converted, "cpu"), ids_of(kind, TEXTS)
    assert isinstance(ours.config.vision, SiglipVisionConfig)
    assert isinstance(ours.config.text, TextConfig) and ours.config.text.tokens == kind
    image = pictures(ours.config)
    with torch.inference_mode():
        theirs = reference(input_ids=tokens, pixel_values=image)
        images, texts = ours.encode_image(image), ours.encode_text(tokens)
        per_image, per_text = ours(image, tokens)
        pooled = reference.vision_model(image).pooler_output
        ends = reference.text_model(tokens).pooler_output
    torch.testing.assert_close(images, pooled, atol=1e-5, rtol=0)
    torch.testing.assert_close(texts, ends, atol=1e-5, rtol=0)
    torch.testing.assert_close(per_image, theirs.logits_per_image, atol=1e-5, rtol=1e-6)
    torch.testing.assert_close(per_text, per_image.T)


def test_texts_in_numpy_are_those_of_torch(converted: ModelFolder, kind: str) -> None:
    with torch.inference_mode():
        theirs = load_model(converted, "cpu").encode_text(ids_of(kind, TEXTS))
    ours = TextEncoder(converted).encode(TEXTS)
    np.testing.assert_allclose(ours, nn.functional.normalize(theirs, dim=1).numpy(), atol=1e-5)


def test_a_text_needs_neither_torch_nor_transformers(converted: ModelFolder) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from clipmodel.model_folder import ModelFolder\n"
        "from clipmodel.numpy_backend.text_encoder import TextEncoder\n"
        f"TextEncoder(ModelFolder.open(Path({str(converted.path)!r}))).encode(['a red car'])\n"
        "heavy = {'torch', 'torchvision', 'transformers', 'timm', 'open_clip', 'tokenizers'}\n"
        "assert not heavy & set(sys.modules), sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


@pytest.mark.parametrize("packed", [True, False])
def test_pictures_in_every_backend(
    converted: ModelFolder, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not packed:
        monkeypatch.setattr(inference, "can_pack", lambda setup, operators: False)
    config = converted.config
    pixels = np.random.default_rng(0).integers(0, 256, (5, SIDE, SIDE, 3), np.uint8)
    batch = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.5) / 0.5
    with torch.inference_mode():
        theirs = load_model(converted, "cpu").encode_image(batch)
    wanted = nn.functional.normalize(theirs, dim=1).numpy()
    quick = ImageEncoder(converted, device="cpu", precision="fp32")
    np.testing.assert_allclose(quick.encode(pixels), wanted, atol=1e-5)
    assert quick.encode(pixels[:0]).shape == (0, WIDTH)
    np.testing.assert_allclose(NumpyImageEncoder(converted).encode(pixels), wanted, atol=1e-5)
    assert (config.pixels.mode, config.pixels.interpolation) == ("squash", "bilinear")


# --- OpenCLIP's layout: an image tower of timm's and a text tower of its own ---


class OpenClip(nn.Module):
    """The two towers under OpenCLIP's names."""

    def __init__(self, vocab_size: int, text_act: Callable[[], nn.Module]) -> None:
        from functools import partial

        from open_clip.transformer import LayerNorm, TextTransformer
        from timm.models.vision_transformer import VisionTransformer

        super().__init__()
        self.visual = nn.Module()
        self.visual.trunk = VisionTransformer(
            img_size=SIDE,
            patch_size=PATCH,
            embed_dim=WIDTH,
            depth=2,
            num_heads=WIDTH // 64,
            mlp_ratio=2,
            class_token=False,
            global_pool="map",
            num_classes=0,
            act_layer="gelu",
        )
        self.text = TextTransformer(
            context_length=CONTEXT,
            vocab_size=vocab_size,
            width=WIDTH,
            heads=2,
            layers=2,
            mlp_ratio=2,
            output_dim=WIDTH,
            no_causal_mask=True,
            pool_type="last",
            proj_bias=True,
            act_layer=text_act,  # type: ignore[arg-type]
            norm_layer=partial(LayerNorm, eps=1e-6),
        )
        self.logit_scale = nn.Parameter(torch.tensor(2.0))
        self.logit_bias = nn.Parameter(torch.tensor(-10.0))


@pytest.mark.parametrize("layout", ["model.safetensors", "wrapped.pt"])
def test_openclip(tmp_path: Path, kind: str, vocab_size: int, layout: str) -> None:
    tanh = {"act_kwargs": {"approximate": "tanh"}} if kind == "siglip2" else {}
    torch.manual_seed(0)
    reference = shake(OpenClip(vocab_size, lambda: nn.GELU(approximate="tanh" if tanh else "none")))
    config = openclip_config(vocab_size)
    config["model_cfg"]["text_cfg"] |= tanh
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    write_vocabulary(tmp_path, kind)
    state = {name: tensor.clone() for name, tensor in reference.state_dict().items()}
    if layout.endswith(".pt"):
        torch.save({"state_dict": {f"module.{k}": t for k, t in state.items()}}, tmp_path / layout)
    else:
        save_file(state, tmp_path / layout)
    model = load_model(resolve(tmp_path / layout, download_root=tmp_path / "models"), "cpu")
    assert (model.config.pixels.mode, model.config.logit_bias) == ("squash", True)
    image, tokens = pictures(model.config), ids_of(kind, TEXTS)
    with torch.inference_mode():
        images, texts = reference.visual.trunk(image), reference.text(tokens)
        torch.testing.assert_close(model.encode_image(image), images, atol=1e-5, rtol=0)
        torch.testing.assert_close(model.encode_text(tokens), texts, atol=1e-5, rtol=0)


def openclip_config(vocab_size: int) -> dict[str, Any]:
    return {
        "model_cfg": {
            "embed_dim": WIDTH,
            "init_logit_bias": -10,
            "custom_text": True,
            "vision_cfg": {
                "image_size": SIDE,
                "timm_model_name": "vit_base_patch16_siglip_224",
                "timm_model_pretrained": False,
                "timm_pool": "map",
                "timm_proj": "none",
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": vocab_size,
                "hf_tokenizer_name": "timm/ViT-B-16-SigLIP",
                "tokenizer_kwargs": {"clean": "canonicalize"},
                "width": WIDTH,
                "heads": 2,
                "layers": 2,
                "no_causal_mask": True,
                "proj_bias": True,
                "pool_type": "last",
                "norm_kwargs": {"eps": 1e-6},
            },
        },
        "preprocess_cfg": {
            "size": [SIDE, SIDE],
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "interpolation": "bicubic",
            "resize_mode": "squash",
        },
    }


def test_our_own_state_dict_is_read_again(
    converted: ModelFolder, tmp_path: Path, kind: str
) -> None:
    state = load_model(converted, "cpu").state_dict()
    torch.save(state, tmp_path / "ours.pt")
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps(openclip_config(converted.config.text.vocab_size))
    )
    write_vocabulary(tmp_path, kind)
    again = resolve(tmp_path / "ours.pt", download_root=tmp_path / "models")
    model = CLIP.of(again.config)
    assert model.state_dict().keys() == state.keys()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"model_type": "siglip2"}, "NaFlex kind, without a fixed size"),
        ({"vision_config": {"layer_norm_eps": 1e-5}}, "sets vision_config.layer_norm_eps"),
        ({"vision_config": {"vision_use_head": False}}, "sets vision_config.vision_use_head"),
        ({"text_config": {"hidden_act": "relu"}}, "'relu' is not supported"),
    ],
)
def test_other_kinds_are_refused(
    huggingface: Any, tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    for file in huggingface[1].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    held = json.loads((tmp_path / "config.json").read_text())
    for key, value in wrong.items():
        held[key] = held[key] | value if isinstance(value, dict) else value
    (tmp_path / "config.json").write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match=message):
        resolve(tmp_path, download_root=tmp_path / "models")


def test_a_model_without_its_vocabulary_is_refused(huggingface: Any, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((huggingface[1] / name).read_bytes())
    with pytest.raises(CheckpointError, match="put its spiece.model or tokenizer.model or"):
        resolve(tmp_path, download_root=tmp_path / "models")
