"""Settings that weights do not reveal: activations, width of a head, mean and std of the pixels.

They are in a config beside the weights. Where they are not, an error asks for them: nothing is
guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast, get_args

from clipmodel.checkpoints import siglip
from clipmodel.checkpoints.json_values import Triple, part, read_json, square, triple, whole
from clipmodel.checkpoints.preprocessors import Prepared, prepared_by
from clipmodel.checkpoints.texts import words
from clipmodel.config import Activation, OpenClipVisionConfig, Resize
from clipmodel.errors import CheckpointError
from clipmodel.hub.registry import OPENAI_ACTIVATION, OPENAI_HEAD_WIDTH, OPENAI_MEAN, OPENAI_STD


@dataclass(frozen=True)
class Settings:
    """The settings of a model; None where no config gives one."""

    vision_activation: Activation | None  # a ResNet needs none
    text_activation: Activation | None
    vision_head_width: int | None  # channels
    text_head_width: int | None
    mean: Triple | None  # of pixels in 0..1, per RGB channel
    std: Triple | None
    resize: Resize | None = None  # its size is revealed by the weights too
    text: Mapping[str, Any] = field(default_factory=dict)  # fields of its config beside sizes
    context_length: int = 77  # tokens; only where the weights have positions for more
    vision: OpenClipVisionConfig | None = None  # a tower that is none of ours


OPENAI_SETTINGS = Settings(
    OPENAI_ACTIVATION,
    OPENAI_ACTIVATION,
    OPENAI_HEAD_WIDTH,
    OPENAI_HEAD_WIDTH,
    OPENAI_MEAN,
    OPENAI_STD,
)


UNKNOWN = Settings(None, None, None, None, None, None)


def settings_of_user(path: Path, known_before: Settings = UNKNOWN) -> Settings:
    """Read a file that a user wrote: any of activation, head_width, mean and std.

    The first two may also be given for one tower, as in `text_activation`. What it lacks stays as
    it was known before.
    """
    held = read_json(path)
    known = {"activation", "head_width", "mean", "std"}
    known |= {
        f"{tower}_{key}" for tower in ("vision", "text") for key in ("activation", "head_width")
    }
    if held.keys() - known:
        raise CheckpointError(
            f"{path} sets {', '.join(sorted(held.keys() - known))}; "
            f"it may set {', '.join(sorted(known))}"
        )
    written = Settings(
        vision_activation=_activation(path, held.get("vision_activation", held.get("activation"))),
        text_activation=_activation(path, held.get("text_activation", held.get("activation"))),
        vision_head_width=whole(
            path, "head_width", held.get("vision_head_width", held.get("head_width"))
        ),
        text_head_width=whole(
            path, "head_width", held.get("text_head_width", held.get("head_width"))
        ),
        mean=triple(path, "mean", held.get("mean")),
        std=triple(path, "std", held.get("std")),
    )
    given = {each.name: getattr(written, each.name) for each in fields(written)}
    return replace(known_before, **{name: value for name, value in given.items() if value})


# --- OpenCLIP: open_clip_config.json ---

# These change only shapes or the training; any other setting changes the computation.
_OPENCLIP_VISION = {
    "image_size",
    "layers",
    "width",
    "patch_size",
    "head_width",
    "mlp_ratio",
    "patch_dropout",
    "output_tokens",
    "timm_model_name",
}
_OPENCLIP_TEXT = {
    "context_length",
    "vocab_size",
    "width",
    "heads",
    "layers",
    "mlp_ratio",
    "output_tokens",
    "no_causal_mask",
    "proj_bias",
    "hf_model_name",
    "hf_pooler_type",
    "hf_proj_type",
    "eos_id",
    "embed_cls",
}
_OPENCLIP_HARMLESS: dict[str, Any] = {
    "mode": ("RGB",),
    "fill_color": None,  # of a border, which resized pictures do not have
    "resize_mode": ("shortest", "squash"),
    "interpolation": ("bicubic", "bilinear", "random"),
    "pool_type": ("tok", "argmax"),
    "pos_embed_type": ("learnable",),
    "proj_type": ("linear",),
    "block_type": ("default",),
    "hf_tokenizer_name": None,  # None: any value; it names this tokenizer, or is unused
    "pad_id": None,
    "hf_model_pretrained": None,
    "attn_pooler_queries": None,
    "attn_pooler_heads": None,
    "timm_model_pretrained": None,
    "timm_pool": ("map",),
    "timm_proj": ("none", "linear"),
    "timm_drop": None,
}


def settings_of_openclip(path: Path) -> Settings:
    """Read OpenCLIP's config, with OpenCLIP's defaults for missing settings."""
    held = read_json(path)
    model, pixels = part(path, held, "model_cfg"), part(path, held, "preprocess_cfg")
    vision, text = part(path, model, "vision_cfg"), part(path, model, "text_cfg")
    _refuse(path, "text_cfg", text, _OPENCLIP_TEXT)
    activation: Activation = "quick_gelu" if model.get("quick_gelu", False) else "gelu"
    text_width, heads = text.get("width", 512), text.get("heads", 8)
    of_text, in_text = words.options(path, text, activation)
    of_vision, head_width = activation, vision.get("head_width", 64)
    tower = tower_of_openclip(path, model)
    if tower is None and (name := vision.get("timm_model_name")) is not None:
        of_vision, head_width = siglip.of_timm(path, name)
    return Settings(
        vision_activation=of_vision,
        text_activation=in_text,
        vision_head_width=whole(path, "head_width", head_width),
        text_head_width=64 if "hf_model_name" in text else _head_width(path, text_width, heads),
        mean=triple(path, "mean", pixels.get("mean")),
        std=triple(path, "std", pixels.get("std")),
        resize=resize_of_openclip(path, pixels, vision.get("image_size")),
        text=of_text,
        context_length=whole(path, "context_length", text.get("context_length", 77)) or 77,
        vision=tower,
    )


def tower_of_openclip(path: Path, model: Mapping[str, Any]) -> OpenClipVisionConfig | None:
    """Return the image tower that OpenCLIP is to build; None if it is one of ours."""
    vision = part(path, model, "vision_cfg")
    name = str(vision.get("timm_model_name"))
    try:
        _refuse(path, "vision_cfg", vision, _OPENCLIP_VISION)
        if "timm_model_name" in vision:
            siglip.of_timm(path, name)
    except CheckpointError:
        if name.startswith("naflex"):
            raise
        size = square(path, "image_size", vision.get("image_size", 224))
        dim = whole(path, "embed_dim", model.get("embed_dim"))
        if size is None or dim is None:
            raise CheckpointError(f"{path} lacks embed_dim or image_size") from None
        settings = json.dumps(vision, sort_keys=True)
        return OpenClipVisionConfig(size, dim, settings, bool(model.get("quick_gelu")))
    return None


def resize_of_openclip(path: Path, pixels: Mapping[str, Any], image_size: object) -> Resize | None:
    """Return what `preprocess_cfg` says; None if neither it nor the tower's config has a size."""
    _refuse(path, "preprocess_cfg", pixels, {"size", "mean", "std"})
    size = square(path, "size", pixels.get("size", image_size))
    filter = pixels.get("interpolation") or "bicubic"  # `random` is of the training alone
    if size is None:
        return None
    return Resize(
        size,
        mode=pixels.get("resize_mode") or "shortest",
        interpolation="bilinear" if filter == "bilinear" else "bicubic",
    )


_OPENCLIP_OF_TEXTS: dict[str, Any] = {  # values that words.py reads
    "pool_type": ("argmax", "last", "eos"),
    "norm_kwargs": ({"eps": 1e-5}, {"eps": 1e-6}),
    "act_kwargs": ({"approximate": "tanh"}, {"approximate": "none"}),
    "proj_type": ("linear", "none"),
    "tokenizer_kwargs": ({"clean": "canonicalize"}, {"strip_sep_token": True}),
}


def _refuse(path: Path, where: str, held: Mapping[str, Any], known: set[str]) -> None:
    for key, value in held.items():
        if key in known or value in (None, False, {}):
            continue
        of_texts = _OPENCLIP_OF_TEXTS if where == "text_cfg" else {}
        allowed = (_OPENCLIP_HARMLESS | of_texts).get(key, ())
        if allowed is not None and value not in allowed:
            raise CheckpointError(f"layout not supported: {path} sets {where}.{key} = {value!r}")


_HINTS = {
    "siglip2": ": it is SigLIP 2 of the NaFlex kind, without a fixed size of pictures; use one of "
    "fixed resolution, such as google/siglip2-base-patch16-256",
}

# --- Hugging Face: config.json, preprocessor_config.json and processor_config.json ---


def settings_of_huggingface(config: Path, pixels: Path, processor: Path) -> Settings:
    """Read a CLIPModel's config, with CLIPConfig's defaults for missing settings.

    pixels, processor: the files in which transformers before 5, and 5, describe preprocessing.
    """
    held = read_json(config)
    if held.get("model_type") == "siglip":
        return settings_of_siglip(config, held, prepared_by(pixels, processor))
    if held.get("model_type") not in ("clip", "metaclip_2"):
        raise CheckpointError(
            f"layout not supported: {config} describes a {held.get('model_type')!r}, not a 'clip' "
            f"or 'siglip'{_HINTS.get(str(held.get('model_type')), '')}"
        )
    vision, text = _tower(config, held, "vision_config"), _tower(config, held, "text_config")
    for where, tower in (("vision_config", vision), ("text_config", text)):
        if tower.get("layer_norm_eps", 1e-5) != 1e-5:
            raise CheckpointError(f"layout not supported: {config} sets {where}.layer_norm_eps")
    end, vocabulary = text.get("eos_token_id", 49407), text.get("vocab_size", 49408)
    options: dict[str, Any] = {}
    if held["model_type"] == "metaclip_2":
        options = {"pool": "end", "end": end, "tokens": "xlm-roberta"}
    elif end not in (2, vocabulary - 1):  # early versions wrote 2, and used the highest token too
        raise CheckpointError(
            f"layout not supported: {config} ends texts with {end!r}, not with the highest token"
        )
    prepared = prepared_by(pixels, processor)
    size = whole(config, "image_size", vision.get("image_size"))
    return Settings(
        vision_activation=_activation(config, vision.get("hidden_act", "quick_gelu")),
        text_activation=_activation(config, text.get("hidden_act", "quick_gelu")),
        vision_head_width=_head_width(
            config, vision.get("hidden_size", 768), vision.get("num_attention_heads", 12)
        ),
        text_head_width=_head_width(
            config, text.get("hidden_size", 512), text.get("num_attention_heads", 8)
        ),
        mean=prepared.mean,
        std=prepared.std,
        resize=prepared.resize or (Resize(size) if size else None),
        text=options,
    )


def settings_of_siglip(config: Path, held: Mapping[str, Any], prepared: Prepared) -> Settings:
    """Read a SiglipModel's config, with SiglipConfig's defaults for missing settings."""
    vision, text = part(config, held, "vision_config"), part(config, held, "text_config")
    siglip.check_towers(config, vision, text)
    size = whole(config, "image_size", vision.get("image_size", 224))
    assert size
    tokens = siglip.tokens(config, text.get("vocab_size", 32_000))
    return Settings(
        vision_activation=_activation(config, vision.get("hidden_act", "gelu_pytorch_tanh")),
        text_activation=_activation(config, text.get("hidden_act", "gelu_pytorch_tanh")),
        vision_head_width=_head_width(
            config, vision.get("hidden_size", 768), vision.get("num_attention_heads", 12)
        ),
        text_head_width=_head_width(
            config, text.get("hidden_size", 768), text.get("num_attention_heads", 12)
        ),
        mean=prepared.mean,
        std=prepared.std,
        resize=prepared.resize or Resize(size, "squash"),
        text={"tokens": tokens, "causal": False, "pool": "last", "epsilon": siglip.EPSILON},
    )


def _tower(path: Path, held: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a tower's config. Older versions wrote `text_config_dict`, which takes precedence."""
    return part(path, held, key) | part(path, held, f"{key}_dict")


def _activation(path: Path, value: object) -> Activation | None:
    value = "gelu_tanh" if value == "gelu_pytorch_tanh" else value
    if value is not None and value not in get_args(Activation):
        raise CheckpointError(
            f"{path}: the activation {value!r} is not supported, "
            f"only {', '.join(get_args(Activation))}"
        )
    return cast("Activation | None", value)


def _head_width(path: Path, width: object, heads: object) -> int:
    width, heads = whole(path, "a width", width), whole(path, "a number of heads", heads)
    if width is None or heads is None or width % heads:
        raise CheckpointError(f"{path}: a width of {width} does not divide into {heads} heads")
    return width // heads
