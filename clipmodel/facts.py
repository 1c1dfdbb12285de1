"""What weights do not reveal of a model: activations, width of a head, mean and std of the pixels.

Whoever wrote the weights says it in a config beside them; where nobody does, an error asks. Nothing
is guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from clipmodel.config import Activation, ModelConfig, ResNetConfig
from clipmodel.errors import CheckpointError, cannot_read
from clipmodel.registry import OPENAI_ACTIVATION, OPENAI_HEAD_WIDTH, OPENAI_MEAN, OPENAI_STD

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Facts:
    """None: nobody said."""

    vision_activation: Activation | None  # of a vision transformer; a ResNet needs none
    text_activation: Activation | None
    vision_head_width: int | None  # channels
    text_head_width: int | None
    mean: Triple | None  # of pixels in 0..1, per RGB channel
    std: Triple | None


OPENAI_FACTS = Facts(
    OPENAI_ACTIVATION,
    OPENAI_ACTIVATION,
    OPENAI_HEAD_WIDTH,
    OPENAI_HEAD_WIDTH,
    OPENAI_MEAN,
    OPENAI_STD,
)


def facts_of_config(config: ModelConfig) -> Facts:
    """What a whole config says."""
    vision, text = config.vision, config.text
    resnet = isinstance(vision, ResNetConfig)
    return Facts(
        vision_activation=None if isinstance(vision, ResNetConfig) else vision.activation,
        text_activation=text.activation,
        vision_head_width=vision.width * (32 if resnet else 1) // vision.heads,
        text_head_width=text.width // text.heads,
        mean=config.mean,
        std=config.std,
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; CheckpointError where the file holds something else."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(held, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return held


def facts_of_ours(path: Path) -> Facts:
    """A file that a user wrote: any of activation, head_width, mean, std, and each of the first two
    also for one tower alone, as in `text_activation`.
    """
    held = read_json(path)
    known = {"activation", "head_width", "mean", "std"}
    known |= {
        f"{tower}_{key}" for tower in ("vision", "text") for key in ("activation", "head_width")
    }
    if held.keys() - known:
        raise CheckpointError(
            f"{path} says {', '.join(sorted(held.keys() - known))}; "
            f"it may say {', '.join(sorted(known))}"
        )
    return Facts(
        vision_activation=_activation(path, held.get("vision_activation", held.get("activation"))),
        text_activation=_activation(path, held.get("text_activation", held.get("activation"))),
        vision_head_width=_whole(
            path, "head_width", held.get("vision_head_width", held.get("head_width"))
        ),
        text_head_width=_whole(
            path, "head_width", held.get("text_head_width", held.get("head_width"))
        ),
        mean=_triple(path, "mean", held.get("mean")),
        std=_triple(path, "std", held.get("std")),
    )


# --- OpenCLIP: open_clip_config.json ---

# What changes only shapes, or only the training; whatever else is set changes what is computed.
_OPENCLIP_VISION = {
    "image_size",
    "layers",
    "width",
    "patch_size",
    "head_width",
    "mlp_ratio",
    "patch_dropout",
    "output_tokens",
}
_OPENCLIP_TEXT = {
    "context_length",
    "vocab_size",
    "width",
    "heads",
    "layers",
    "mlp_ratio",
    "output_tokens",
}
_OPENCLIP_HARMLESS: dict[str, Any] = {
    "pool_type": ("tok", "argmax"),
    "pos_embed_type": ("learnable",),
    "proj_type": ("linear",),
    "block_type": ("default",),
    "hf_tokenizer_name": None,  # None: any value; a name of this very tokenizer, or unused
    "tokenizer_kwargs": (),
    "pad_id": None,
    "eos_id": None,
    "hf_model_pretrained": None,
    "hf_proj_type": None,
    "hf_pooler_type": None,
    "attn_pooler_queries": None,
    "attn_pooler_heads": None,
    "timm_model_pretrained": None,
    "timm_pool": None,
    "timm_proj": None,
    "timm_drop": None,
}


def facts_of_openclip(path: Path) -> Facts:
    """OpenCLIP's config; what it leaves out has the default that OpenCLIP gives it."""
    held = read_json(path)
    model, pixels = _part(path, held, "model_cfg"), _part(path, held, "preprocess_cfg")
    vision, text = _part(path, model, "vision_cfg"), _part(path, model, "text_cfg")
    _refuse(path, "vision_cfg", vision, _OPENCLIP_VISION)
    _refuse(path, "text_cfg", text, _OPENCLIP_TEXT)
    for key in ("multimodal_cfg", "init_logit_bias"):
        if model.get(key) is not None:
            raise CheckpointError(f"layout not supported: {path} sets {key}")
    for key, expected in (("interpolation", "bicubic"), ("resize_mode", "shortest")):
        if pixels.get(key, expected) != expected:
            raise CheckpointError(
                f"layout not supported: {path} resizes pictures otherwise ({key}={pixels[key]!r})"
            )
    activation: Activation = "quick_gelu" if model.get("quick_gelu", False) else "gelu"
    text_width, heads = text.get("width", 512), text.get("heads", 8)
    return Facts(
        vision_activation=activation,
        text_activation=activation,
        vision_head_width=_whole(path, "head_width", vision.get("head_width", 64)),
        text_head_width=_head_width(path, text_width, heads),
        mean=_triple(path, "mean", pixels.get("mean")),
        std=_triple(path, "std", pixels.get("std")),
    )


def _refuse(path: Path, where: str, held: Mapping[str, Any], known: set[str]) -> None:
    for key, value in held.items():
        if key in known or value in (None, False, {}):
            continue
        allowed = _OPENCLIP_HARMLESS.get(key, ())
        if allowed is not None and value not in allowed:
            raise CheckpointError(f"layout not supported: {path} sets {where}.{key} = {value!r}")


# --- Hugging Face: config.json and preprocessor_config.json ---


def facts_of_huggingface(config: Path, pixels: Path) -> Facts:
    """A CLIPModel's config; what it leaves out has the default of CLIPConfig."""
    held = read_json(config)
    if held.get("model_type") != "clip":
        raise CheckpointError(
            f"layout not supported: {config} is of a {held.get('model_type')!r}, not of a 'clip'"
        )
    vision, text = _tower(config, held, "vision_config"), _tower(config, held, "text_config")
    for where, tower in (("vision_config", vision), ("text_config", text)):
        if tower.get("layer_norm_eps", 1e-5) != 1e-5:
            raise CheckpointError(f"layout not supported: {config} sets {where}.layer_norm_eps")
    end, vocabulary = text.get("eos_token_id", 49407), text.get("vocab_size", 49408)
    if end not in (
        2,
        vocabulary - 1,
    ):  # 2: a mistake of the first versions, which took the highest token as well
        raise CheckpointError(
            f"layout not supported: {config} ends texts with {end!r}, not with the highest token"
        )
    picture = read_json(pixels) if pixels.exists() else {}
    _refuse_pixels(pixels, picture)
    return Facts(
        vision_activation=_activation(config, vision.get("hidden_act", "quick_gelu")),
        text_activation=_activation(config, text.get("hidden_act", "quick_gelu")),
        vision_head_width=_head_width(
            config, vision.get("hidden_size", 768), vision.get("num_attention_heads", 12)
        ),
        text_head_width=_head_width(
            config, text.get("hidden_size", 512), text.get("num_attention_heads", 8)
        ),
        mean=_triple(pixels, "image_mean", picture.get("image_mean")),
        std=_triple(pixels, "image_std", picture.get("image_std")),
    )


def _tower(path: Path, held: Mapping[str, Any], key: str) -> dict[str, Any]:
    """`text_config_dict` is what older versions wrote; where both speak, it counts."""
    return _part(path, held, key) | _part(path, held, f"{key}_dict")


def _refuse_pixels(path: Path, picture: Mapping[str, Any]) -> None:
    expected = {
        "resample": 3,
        "do_resize": True,
        "do_center_crop": True,
        "do_rescale": True,
        "do_normalize": True,
    }
    for key, value in expected.items():
        if picture.get(key, value) != value:
            raise CheckpointError(f"layout not supported: {path} sets {key} = {picture[key]!r}")


# --- values from files that others wrote ---


def _part(path: Path, held: Mapping[str, Any], key: str) -> dict[str, Any]:
    part = held.get(key)
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise CheckpointError(f"{path}: {key} is not an object")
    return part


def _activation(path: Path, value: object) -> Activation | None:
    if value is not None and value not in get_args(Activation):
        raise CheckpointError(
            f"{path}: the activation {value!r} is not supported, "
            f"only {' and '.join(get_args(Activation))}"
        )
    return cast("Activation | None", value)


def _whole(path: Path, key: str, value: object) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise CheckpointError(f"{path}: {key} is {value!r}, not a number of at least 1")
    return value


def _head_width(path: Path, width: object, heads: object) -> int:
    width, heads = _whole(path, "a width", width), _whole(path, "a number of heads", heads)
    if width is None or heads is None or width % heads:
        raise CheckpointError(f"{path}: a width of {width} does not divide into {heads} heads")
    return width // heads


def _triple(path: Path, key: str, value: object) -> Triple | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(n) in (int, float) for n in value)
    ):
        raise CheckpointError(f"{path}: {key} is {value!r}, not three numbers")
    return (float(value[0]), float(value[1]), float(value[2]))
