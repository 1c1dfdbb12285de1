"""OpenCLIP's text towers that are Hugging Face's encoders, with their tokens."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from clipmodel.checkpoints.read import read_checkpoint
from clipmodel.errors import CheckpointError
from clipmodel.model_folder import ModelFolder
from clipmodel.numpy_backend.t5 import buckets_of_distances
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.tokenizer import TextTooLong
from clipmodel.torch_backend.loading import load_model
from tests.clipmodel.small import MEAN, STD, shake
from tests.clipmodel.vocabularies import SENTENCES

CONTEXT, WIDTH, DIM = 16, 64, 24
VISION = {"image_size": 32, "patch_size": 8, "width": 64, "layers": 1, "head_width": 64}
TEXTS = ["a dog", "Two  red_cars, in the SNOW!", "", "le toit 犬 &amp; chat ψ", "the dogs " * 20]
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
CONFIGS: dict[str, dict[str, Any]] = {
    "roberta-base": {
        "model_type": "roberta",
        "hidden_size": WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": 96,
        "max_position_embeddings": 40,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "pad_token_id": 1,
    },
    "facebook/nllb-200-distilled-600M": {
        "model_type": "m2m_100",
        "d_model": 2 * WIDTH,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 96,
        "decoder_ffn_dim": 96,
        "scale_embedding": True,
        "pad_token_id": 1,
    },
    "google/mt5-base": {
        "model_type": "mt5",
        "d_model": WIDTH,
        "d_kv": 16,
        "d_ff": 96,
        "num_layers": 2,
        "num_heads": 3,
        "pad_token_id": 0,
    },
}
CASES = [
    ("roberta-base", "mean_pooler", "mlp"),
    ("roberta-base", "mean_pooler", "linear"),
    ("facebook/nllb-200-distilled-600M", "cls_pooler", "linear"),
    ("facebook/nllb-200-distilled-600M", "mean_pooler", "mlp"),
    ("google/mt5-base", "mean_pooler", "mlp"),
]


def tokenizer_of(name: str, folder: Path) -> None:
    """Write the files of a small tokenizer of the class that the published one has."""
    import transformers

    if name == "google/mt5-base":
        unigram = Tokenizer(models.Unigram())
        unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        special = ["<pad>", "</s>", "<unk>"]
        of_pieces = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=special, unk_token="<unk>"
        )
        unigram.train_from_iterator(SENTENCES, of_pieces)
        vocab = json.loads(unigram.to_str())["model"]["vocab"]
        pieces = [(piece, score) for piece, score in vocab]
        transformers.T5Tokenizer(vocab=pieces, extra_ids=0).save_pretrained(folder)
        return
    pairs = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    is_roberta = name == "roberta-base"
    if is_roberta:
        pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        pairs.decoder = decoders.ByteLevel()
    else:
        pairs.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    alphabet = pre_tokenizers.ByteLevel.alphabet() if is_roberta else []
    of_pairs = trainers.BpeTrainer(
        vocab_size=340 if is_roberta else 150, special_tokens=SPECIAL, initial_alphabet=alphabet
    )
    pairs.train_from_iterator(SENTENCES, of_pairs)
    held = json.loads(pairs.to_str())["model"]
    kind: Any = transformers.RobertaTokenizer if is_roberta else transformers.NllbTokenizer
    merges = [tuple(pair) for pair in held["merges"]]
    kind(vocab=held["vocab"], merges=merges).save_pretrained(folder)


def source_of(folder: Path, name: str, pooler: str, projection: str) -> nn.Module:
    """Write a checkpoint of OpenCLIP's, and return its text tower."""
    from open_clip.hf_model import HFTextEncoder
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    folder.mkdir()
    tokenizer_of(name, folder)
    tokens = len(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab())
    theirs = folder.with_name("encoder")
    theirs.mkdir()
    (theirs / "config.json").write_text(json.dumps(CONFIGS[name] | {"vocab_size": tokens + 5}))
    torch.manual_seed(0)
    model = nn.Module()
    model.visual = _build_vision_tower(DIM, CLIPVisionCfg(**VISION))
    model.text = HFTextEncoder(
        str(theirs), DIM, pooler_type=pooler, proj_type=projection, pretrained=False
    )
    model.logit_scale = nn.Parameter(torch.tensor(2.0))
    shake(model)
    text = {
        "hf_model_name": name,
        "hf_tokenizer_name": name,
        "hf_pooler_type": pooler,
        "hf_proj_type": projection,
        "context_length": CONTEXT,
    }
    model_cfg = {"embed_dim": DIM, "vision_cfg": VISION, "text_cfg": text}
    held = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": MEAN, "std": STD, "size": 32}}
    (folder / "open_clip_config.json").write_text(json.dumps(held))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    return model.text  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "pooler", "projection"), CASES)
def test_texts_are_the_references(tmp_path: Path, name: str, pooler: str, projection: str) -> None:
    from open_clip.tokenizer import HFTokenizer

    source = tmp_path / "source"
    reference = source_of(source, name, pooler, projection)
    folder = resolve(source, download_root=tmp_path / "models")
    ids = HFTokenizer(str(source), context_length=CONTEXT)(TEXTS)
    ours = torch.from_numpy(folder.tokenizer()(TEXTS, CONTEXT, True))
    torch.testing.assert_close(ours, ids)
    with torch.inference_mode():
        words = reference(ids)
        made = load_model(folder, "cpu").encode_text(ids)
    torch.testing.assert_close(made, words, atol=1e-5, rtol=0)
    texts = TextEncoder(folder).encode(TEXTS)
    np.testing.assert_allclose(texts, nn.functional.normalize(words).numpy(), atol=1e-5)
    with pytest.raises(TextTooLong):
        folder.tokenizer()(TEXTS, CONTEXT, False)
    assert_quick(folder)


def assert_quick(folder: ModelFolder) -> None:
    """A search waits for neither torch nor transformers."""
    program = (
        "import sys; from pathlib import Path\n"
        "from clipmodel.model_folder import ModelFolder\n"
        "from clipmodel.numpy_backend.text_encoder import TextEncoder\n"
        f"TextEncoder(ModelFolder.open(Path({str(folder.path)!r}))).encode(['a red car'])\n"
        "assert not {'torch', 'open_clip', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[3])


def test_distances_are_in_the_buckets_of_t5() -> None:
    from transformers.models.mt5.modeling_mt5 import MT5Attention

    places = torch.arange(300)
    of_distances: Any = MT5Attention._relative_position_bucket
    theirs = of_distances(places[None, :] - places[:, None])
    np.testing.assert_array_equal(buckets_of_distances(300, 32), theirs.numpy())


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("roberta-base", "", "its vocabulary is missing: put its tokenizer.json beside it"),
        ("roberta-base", "{", "tokenizer.json is damaged|not JSON|tokenizer.json"),
        ("roberta-base", '{"model": {"type": "Unigram"}}', "tokenizer.json holds a 'Unigram'"),
        ("roberta-base", '{"model": {"type": "BPE", "vocab": {"a": 1}}}', "it lacks <s>"),
        ("facebook/nllb-200-distilled-600M", "", "its vocabulary is missing"),
    ],
)
def test_another_vocabulary_is_refused(
    tmp_path: Path, name: str, damage: str, message: str
) -> None:
    source = tmp_path / "source"
    pooler = "cls_pooler" if "nllb" in name else "mean_pooler"
    source_of(source, name, pooler, "linear")
    (source / "tokenizer.json").unlink()
    if damage:
        (source / "tokenizer.json").write_text(damage)
    with pytest.raises(CheckpointError, match=message):
        resolve(source, download_root=tmp_path / "models")


def test_a_vocabulary_that_is_too_large_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source_of(source, "roberta-base", "mean_pooler", "linear")
    held = json.loads((source / "tokenizer.json").read_text())
    held["model"]["vocab"]["new"] = 9000
    (source / "tokenizer.json").write_text(json.dumps(held))
    with pytest.raises(CheckpointError, match="tokens, and the weights are for"):
        resolve(source, download_root=tmp_path / "models")


@pytest.mark.parametrize(
    ("name", "pooler"),
    [
        ("roberta-base", "cls_pooler"),
        ("google/mt5-base", "max_pooler"),
        ("bert-base-uncased", "mean_pooler"),
    ],
)
def test_other_encoders_are_refused(tmp_path: Path, name: str, pooler: str) -> None:
    source = tmp_path / "source"
    source_of(source, "roberta-base", "mean_pooler", "linear")
    file = source / "open_clip_config.json"
    held = json.loads(file.read_text())
    held["model_cfg"]["text_cfg"] |= {"hf_model_name": name, "hf_pooler_type": pooler}
    file.write_text(json.dumps(held))
    wanted = "hf_model_name" if name.startswith("bert") else "hf_pooler_type"
    with pytest.raises(CheckpointError, match=f"sets text_cfg.{wanted} = "):
        read_checkpoint(source)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    source = tmp_path / "source"
    source_of(source, "google/mt5-base", "mean_pooler", "mlp")
    weights = load_file(source / "model.safetensors")
    del weights["text.transformer.block.1.layer.1.DenseReluDense.wi_0.weight"]
    save_file(weights, source / "model.safetensors")
    with pytest.raises(CheckpointError, match="its text tower lacks .*block.1.*wi_0"):
        read_checkpoint(source)
