"""Text towers that were published alone, beside the image tower that a user's file names.

M-CLIP trained XLM-RoBERTa, and sentence-transformers DistilBERT, to give the vectors of a CLIP's
texts, so a picture is encoded by that CLIP.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from clipmodel.checkpoints import towers
from clipmodel.checkpoints.configs import UNKNOWN
from clipmodel.checkpoints.files import IMAGE_TOWER, MODULES, dense_of, modules_of
from clipmodel.checkpoints.json_values import read_json, whole
from clipmodel.checkpoints.storage.shards import load_all
from clipmodel.checkpoints.texts.bert import weights_of_bert, weights_of_distilbert
from clipmodel.config import BertConfig, ModelConfig
from clipmodel.errors import CheckpointError

Tensors = Mapping[str, Tensor]

_M_CLIP, _M_CLIP_BASES = "LinearTransformation.weight", ("xlm-roberta-base", "xlm-roberta-large")
_DISTILBERT = "transformer.layer.0.attention.q_lin.weight"
_HEAD_WIDTH = 64  # channels, of all these encoders


def is_text_tower(tensors: Tensors) -> bool:
    """Return whether these are the weights of M-CLIP or of a DistilBERT, by their names."""
    return _M_CLIP in tensors or _DISTILBERT in tensors


def read(
    file: Path, tensors: Tensors, models: Path | None
) -> tuple[dict[str, Tensor], ModelConfig]:
    """Return the weights of both towers under our names, and their config.

    models: the folder of models, for the image tower. Raises CheckpointError, ModelNotFound,
    DownloadError.
    """
    read_text = _m_clip if _M_CLIP in tensors else _distilbert
    try:
        weights, text = read_text(file, tensors)
    except KeyError as error:
        raise CheckpointError(f"its text tower lacks {error}") from error
    images, config = _image_tower(file, models)
    dim = weights["text.text_projection"].shape[1]
    if config.embed_dim != dim:
        raise CheckpointError(
            f"its texts have {dim} numbers, and the pictures of its {IMAGE_TOWER} "
            f"{config.embed_dim}; name the model that it was trained for"
        )
    return images | weights, replace(config, text=text)


def _image_tower(file: Path, models: Path | None) -> tuple[dict[str, Tensor], ModelConfig]:
    from clipmodel.pretrained import resolve  # which needs this module
    from clipmodel.torch_backend.safetensors_file import load_safetensors

    note = file.with_name(f"{file.name}.json")
    held = read_json(note) if note.is_file() else {}
    name = held.get(IMAGE_TOWER)
    if not isinstance(name, str) or held.keys() != {IMAGE_TOWER}:
        raise CheckpointError(
            f"it is a text tower alone; name the model whose texts it was trained for in "
            f'{note.name} beside it, and nothing else: {{"{IMAGE_TOWER}": "ViT-B/32"}}'
        )
    given = Path(name).expanduser()
    local = file.parent / given
    if local.exists() and (local.samefile(file) or local.samefile(file.parent)):
        raise CheckpointError(f"{note.name} names this text tower itself as its {IMAGE_TOWER}")
    folder = resolve(local if local.exists() else name, download_root=models)
    numbers = load_safetensors(folder.text_file)
    scales = {key: value for key, value in numbers.items() if key.startswith("logit_")}
    return load_safetensors(folder.vision_file) | scales, folder.config


def _m_clip(file: Path, tensors: Tensors) -> tuple[dict[str, Tensor], BertConfig]:
    """M-CLIP: XLM-RoBERTa, the mean of all tokens, and a layer with a bias."""
    config = file.with_name("config.json")
    base = read_json(config).get("modelBase") if config.is_file() else None
    if base not in _M_CLIP_BASES:
        raise CheckpointError(
            f"layout not supported: {config} sets modelBase = {base!r}, not one of "
            f"{', '.join(_M_CLIP_BASES)}"
        )
    start = "transformer."
    theirs = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    before = 2  # rows of positions that no text has
    length = len(theirs["embeddings.position_embeddings.weight"]) - before
    ours = weights_of_bert(theirs, length, before)
    ours["text_projection"] = tensors[_M_CLIP].T.contiguous()
    ours["text_bias"] = tensors["LinearTransformation.bias"]
    return _with_config(ours, {"tokens": "m-clip", "epsilon": 1e-5, "padding": 1})


def _distilbert(file: Path, tensors: Tensors) -> tuple[dict[str, Tensor], BertConfig]:
    """sentence-transformers: DistilBERT, the mean of all tokens, and a layer of its own file."""
    kinds = [kind for kind, _ in modules_of(file)]
    if kinds != ["Transformer", "Pooling", "Dense"]:
        raise CheckpointError(
            f"layout not supported: a DistilBERT whose {MODULES} names "
            f"{', '.join(kinds) or 'nothing'}, not Transformer, Pooling, Dense"
        )
    _check(file.with_name("config.json"), {"model_type": "distilbert", "activation": "gelu"})
    pooling = dict(modules_of(file))["Pooling"] / "config.json"
    held = read_json(pooling)
    modes = {key for key, value in held.items() if key.startswith("pooling_mode_") and value}
    if held.get("pooling_mode", "mean") != "mean" or modes - {"pooling_mode_mean_tokens"}:
        raise CheckpointError(f"layout not supported: {pooling} pools texts in another way")
    dense = dense_of(file)
    assert dense
    identity = "torch.nn.modules.linear.Identity"
    _check(dense.with_name("config.json"), {"activation_function": identity})
    ours = weights_of_distilbert(tensors, _length(file, tensors))
    layer = load_all(dense)
    ours["text_projection"] = layer["linear.weight"].T.contiguous()
    if "linear.bias" in layer:
        ours["text_bias"] = layer["linear.bias"]
    return _with_config(ours, {"tokens": _vocabulary(file)})


def _length(file: Path, tensors: Tensors) -> int:
    """Return how many tokens of a text are read."""
    positions = len(tensors["embeddings.position_embeddings.weight"])
    path = file.with_name("sentence_bert_config.json")
    given = read_json(path).get("max_seq_length") if path.is_file() else None
    return min(whole(path, "max_seq_length", given) or positions, positions)


def _vocabulary(file: Path) -> str:
    path = file.with_name("tokenizer_config.json")
    lowers = read_json(path).get("do_lower_case", True) if path.is_file() else True
    return "bert" if lowers else "bert-cased"


def _check(path: Path, expected: Mapping[str, Any]) -> None:
    held = read_json(path)
    for key, value in expected.items():
        if held.get(key, value) != value:
            raise CheckpointError(f"layout not supported: {path} sets {key} = {held[key]!r}")


def _with_config(ours: Tensors, options: Mapping[str, Any]) -> tuple[dict[str, Tensor], BertConfig]:
    weights = {f"text.{name}": tensor for name, tensor in ours.items()}
    settings = replace(UNKNOWN, text_head_width=_HEAD_WIDTH, text=options)
    return weights, towers.bert(weights, settings)
