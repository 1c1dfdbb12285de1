"""Text towers of other vocabularies beside a CLIP's image tower, against their references."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn

from clipmodel.config import BertConfig, TextConfig
from clipmodel.errors import CheckpointError
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.torch_backend.loading import load_model
from tests.clipmodel.small import MEAN, STD, pictures, shake
from tests.clipmodel.towers.alone import xlm_roberta
from tests.clipmodel.vocabularies import SENTENCES

CONTEXT, WIDTH, DIM = 16, 64, 24
VISION = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 2, "head_width": 64}
TEXTS = ["a dog", "Two  red_cars, in the SNOW!", "", "le toit 犬 &amp; chat", "the dogs " * 20]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Of XLM-RoBERTa's kind, with its frame."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>")
    made.train_from_iterator(SENTENCES, trainer)
    return made


def framed(tokenizer: Tokenizer, start: list[int], padding: int, clean: Any) -> Tensor:
    """Token ids as the authors' tokenizers make them."""
    end = tokenizer.token_to_id("</s>")
    rows = [
        [*start, *tokenizer.encode(clean(text)).ids[: CONTEXT - 1 - len(start)], end]
        for text in TEXTS
    ]
    return torch.tensor([row + [padding] * (CONTEXT - len(row)) for row in rows])


def spaced(text: str) -> str:
    return " ".join(text.replace("&amp;", "&").split())


class OpenClip(nn.Module):
    """OpenCLIP's image tower and a text tower, under its names."""

    def __init__(self, text: nn.Module) -> None:
        from open_clip.model import CLIPVisionCfg, _build_vision_tower

        super().__init__()
        self.visual = _build_vision_tower(DIM, CLIPVisionCfg(**VISION))
        self.text = text
        self.logit_scale = nn.Parameter(torch.tensor(2.0))


def converted(
    tmp_path: Path, reference: nn.Module, tokenizer: Tokenizer, text: dict[str, Any]
) -> ModelFolder:
    source = tmp_path / "source"
    source.mkdir()
    model_cfg = {"embed_dim": DIM, "vision_cfg": VISION, "text_cfg": text}
    held = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": MEAN, "std": STD, "size": 32}}
    (source / "open_clip_config.json").write_text(json.dumps(held))
    tokenizer.save(str(source / "tokenizer.json"))
    save_file({n: t.clone() for n, t in reference.state_dict().items()}, source / "m.safetensors")
    return resolve(source / "m.safetensors", download_root=tmp_path / "models")


def assert_same(folder: ModelFolder, reference: nn.Module, ids: Tensor) -> None:
    """Pictures in torch, texts in torch and NumPy."""
    model = load_model(folder, "cpu")
    image = pictures(folder.config, 2)
    made = torch.from_numpy(folder.tokenizer()(TEXTS, CONTEXT, True))
    torch.testing.assert_close(made, ids)
    with torch.inference_mode():
        words = reference.text(ids)
        torch.testing.assert_close(model.encode_image(image), reference.visual(image))
        torch.testing.assert_close(model.encode_text(ids), words, atol=1e-5, rtol=0)
    ours = TextEncoder(folder).encode(TEXTS)
    np.testing.assert_allclose(ours, nn.functional.normalize(words).numpy(), atol=1e-5)


@pytest.mark.parametrize("projection", ["mlp", "linear"])
def test_xlm_roberta(tmp_path: Path, tokenizer: Tokenizer, projection: str) -> None:
    from open_clip.hf_model import HFTextEncoder

    config = xlm_roberta(tokenizer.get_vocab_size())
    torch.manual_seed(0)
    text = HFTextEncoder("", DIM, config, pooler_type="mean_pooler", proj_type=projection)
    reference = shake(OpenClip(text))
    held = {
        "hf_model_name": "xlm-roberta-base",
        "hf_tokenizer_name": "xlm-roberta-base",
        "hf_pooler_type": "mean_pooler",
        "hf_proj_type": projection,
        "context_length": CONTEXT,
    }
    folder = converted(tmp_path, reference, tokenizer, held)
    assert isinstance(folder.config.text, BertConfig)
    assert bool(folder.config.text.hidden) == (projection == "mlp")
    assert_same(folder, reference, framed(tokenizer, [0], 1, spaced))


@pytest.mark.parametrize("kind", ["xlm-v", "mt5"])
def test_metaclip_2(tmp_path: Path, tokenizer: Tokenizer, kind: str) -> None:
    from clipmodel.towers.sentencepieces import canonical

    torch.manual_seed(0)
    held: dict[str, Any] = {
        "context_length": CONTEXT,
        "vocab_size": tokenizer.get_vocab_size(),
        "width": WIDTH,
        "heads": 2,
        "layers": 2,
        "pool_type": "eos",
        "eos_id": 2,
    }
    reference = shake(OpenClip(text_transformer(held)))
    if kind == "mt5":
        held |= {"hf_tokenizer_name": "google/mt5-base"}
        held |= {"tokenizer_kwargs": {"clean": "canonicalize"}}
    else:
        held |= {"hf_tokenizer_name": "facebook/xlm-v-base"}
    folder = converted(tmp_path, reference, tokenizer, held)
    assert isinstance(folder.config.text, TextConfig) and folder.config.text.pool == "end"
    start, padding, clean = ([], 0, canonical) if kind == "mt5" else ([0], 1, spaced)
    assert_same(folder, reference, framed(tokenizer, start, padding, clean))


def text_transformer(held: dict[str, Any]) -> nn.Module:
    from open_clip.transformer import TextTransformer

    made: nn.Module = TextTransformer(output_dim=DIM, **held)
    return made


def test_metaclip_2_of_hugging_face(tmp_path: Path, tokenizer: Tokenizer) -> None:
    from transformers import MetaClip2Config, MetaClip2Model

    tower = {"hidden_size": WIDTH, "intermediate_size": 96, "num_attention_heads": 2}
    text = tower | {
        "vocab_size": tokenizer.get_vocab_size(),
        "max_position_embeddings": CONTEXT,
        "eos_token_id": 2,
        "num_hidden_layers": 2,
    }
    vision = tower | {"image_size": 32, "patch_size": 8, "num_hidden_layers": 2}
    torch.manual_seed(0)
    config = MetaClip2Config(text_config=text, vision_config=vision, projection_dim=DIM)
    reference = shake(MetaClip2Model(config))
    source = tmp_path / "source"
    reference.save_pretrained(source)
    pixels = {"image_mean": MEAN, "image_std": STD, "size": {"shortest_edge": 32}, "crop_size": 32}
    (source / "preprocessor_config.json").write_text(json.dumps(pixels))
    tokenizer.save(str(source / "tokenizer.json"))
    folder = resolve(source, download_root=tmp_path / "models")
    ids = framed(tokenizer, [0], 1, spaced)
    image = pictures(folder.config, 2)
    with torch.inference_mode():
        theirs = reference(input_ids=ids, pixel_values=image)
        texts = TextEncoder(folder).encode(TEXTS)
        images = nn.functional.normalize(load_model(folder, "cpu").encode_image(image))
    np.testing.assert_allclose(texts, theirs.text_embeds.numpy(), atol=1e-5)
    torch.testing.assert_close(images, theirs.image_embeds, atol=1e-5, rtol=0)


def test_clipa(tmp_path: Path, pieces_file: Callable[[Path], Tokenizer]) -> None:
    """Word pieces without a token at the end; all places are seen, the last one is read."""
    source = tmp_path / "source"
    source.mkdir()
    reference_ids = pieces_file(source / "vocab.txt")
    held: dict[str, Any] = {
        "context_length": CONTEXT,
        "vocab_size": 40,
        "width": WIDTH,
        "heads": 2,
        "layers": 2,
        "pool_type": "last",
        "no_causal_mask": True,
    }
    torch.manual_seed(0)
    reference = shake(OpenClip(text_transformer(held)))
    held |= {"hf_tokenizer_name": "bert-base-uncased"}
    held |= {"tokenizer_kwargs": {"strip_sep_token": True}}
    model_cfg = {"embed_dim": DIM, "vision_cfg": VISION, "text_cfg": held}
    written = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": MEAN, "std": STD, "size": 32}}
    (source / "open_clip_config.json").write_text(json.dumps(written))
    save_file({n: t.clone() for n, t in reference.state_dict().items()}, source / "m.safetensors")
    folder = resolve(source / "m.safetensors", download_root=tmp_path / "models")
    texts = ["a red car", "dogs on the beach", "", "a dog " * 20]
    rows = [reference_ids.encode(text).ids for text in texts]
    end = reference_ids.token_to_id("[SEP]")
    cut = [[*row[: CONTEXT - 1], end] if len(row) > CONTEXT else row for row in rows]
    ids = torch.tensor(
        [[*(i * (i != end) for i in row), *[0] * (CONTEXT - len(row))] for row in cut]
    )
    torch.testing.assert_close(torch.from_numpy(folder.tokenizer()(texts, CONTEXT, True)), ids)
    with torch.inference_mode():
        words = nn.functional.normalize(reference.text(ids))
    np.testing.assert_allclose(TextEncoder(folder).encode(texts), words.numpy(), atol=1e-5)


@pytest.fixture
def pieces_file() -> Callable[[Path], Tokenizer]:
    """Writes a small vocabulary of BERT's, and returns its tokenizer."""
    from tokenizers import BertWordPieceTokenizer

    from tests.clipmodel.small import PIECES

    def write(path: Path) -> Tokenizer:
        path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
        made: Tokenizer = BertWordPieceTokenizer(str(path), lowercase=True)
        return made

    return write


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hf_model_name": "xlnet-base-cased"}, "hf_model_name = 'xlnet-base-cased'"),
        ({"hf_pooler_type": "cls_pooler"}, "sets text_cfg.hf_pooler_type = 'cls_pooler'"),
    ],
)
def test_other_text_towers_are_refused(
    tmp_path: Path, tokenizer: Tokenizer, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        converted(
            tmp_path,
            OpenClip(nn.Linear(2, 2)),
            tokenizer,
            {"hf_model_name": "xlm-roberta-base"} | change,
        )
