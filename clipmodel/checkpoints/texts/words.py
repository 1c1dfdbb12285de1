"""What OpenCLIP's config says of a text tower, and whose vocabulary that means."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmodel.checkpoints import siglip
from clipmodel.checkpoints.json_values import part, whole
from clipmodel.config import Activation
from clipmodel.errors import CheckpointError

Options = dict[str, Any]  # fields of TextConfig or BertConfig beside sizes
_XLM_ROBERTA = {"tokens": "xlm-roberta", "epsilon": 1e-5, "padding": 1}
_NLLB = {"tokens": "nllb", "epsilon": 1e-5, "padding": 1, "norm_first": True, "activation": "relu"}
_MT5 = {"tokens": "mt5-cased"}
_MODELS: dict[str, Options] = {
    "roberta-base": _XLM_ROBERTA | {"tokens": "roberta"},
    "roberta-large": _XLM_ROBERTA | {"tokens": "roberta"},
    "xlm-roberta-base": _XLM_ROBERTA,
    "xlm-roberta-large": _XLM_ROBERTA,
    "nllb-200-distilled-600M": _NLLB,
    "nllb-200-distilled-1.3B": _NLLB,
    **dict.fromkeys(("mt5-small", "mt5-base", "mt5-large", "mt5-xl"), _MT5),
}
_OF_TOKENIZERS = {"xlm-v-base": "xlm-roberta", "mt5-base": "mt5"}  # pieces of these kinds


def options(
    path: Path, text: Mapping[str, Any], activation: Activation
) -> tuple[Options, Activation]:
    """Return what `text_cfg` says beside sizes, and the activation. Raises CheckpointError."""
    if (name := text.get("hf_model_name")) is not None:
        return of_huggingface(path, text, str(name)), "gelu"
    made: Options = {
        "causal": not text.get("no_causal_mask"),
        "pool": {"last": "last", "eos": "end"}.get(str(text.get("pool_type")), "highest"),
        "epsilon": part(path, text, "norm_kwargs").get("eps", 1e-5),
    }
    if made["pool"] == "end":
        made["end"] = whole(path, "eos_id", text.get("eos_id", 2))
    if (tokens := _vocabulary(path, text)) is not None:
        made["tokens"] = tokens
    is_tanh = part(path, text, "act_kwargs").get("approximate") == "tanh"
    return made, "gelu_tanh" if is_tanh and activation == "gelu" else activation


def of_huggingface(path: Path, text: Mapping[str, Any], name: str) -> Options:
    """Return the options of a text tower of Hugging Face's that is one of ours."""
    found = _MODELS.get(name.rpartition("/")[2])
    if found is None:
        raise CheckpointError(
            f"layout not supported: {path} sets text_cfg.hf_model_name = {name!r}, not one of "
            f"{', '.join(_MODELS)}"
        )
    pooler = text.get("hf_pooler_type", "mean_pooler")
    if pooler == "cls_pooler" and found is _NLLB:  # others have a layer of their own for it
        return found | {"pool": "first"}
    if pooler != "mean_pooler":
        raise CheckpointError(
            f"layout not supported: {path} sets text_cfg.hf_pooler_type = {pooler!r}"
        )
    return found


def _vocabulary(path: Path, text: Mapping[str, Any]) -> str | None:
    """Return the name of a vocabulary; None for CLIP's."""
    given = part(path, text, "tokenizer_kwargs")
    name = str(text.get("hf_tokenizer_name") or "").rpartition("/")[2]
    if given.get("strip_sep_token"):
        return "clipa"
    if name in _OF_TOKENIZERS:
        return _OF_TOKENIZERS[name]
    if given.get("clean") == "canonicalize":
        return siglip.tokens(path, text.get("vocab_size"))
    return None
