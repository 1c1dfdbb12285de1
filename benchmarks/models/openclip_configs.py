"""Which of OpenCLIP's configurations load: `python -m benchmarks.models.openclip_configs [NAME …]`.

OpenCLIP builds each model without memory for its weights. Their names and shapes are read as those
of a checkpoint are, and compared with those of our towers. A line for each configuration, and how
many load. It takes some minutes.
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from clipmodel.checkpoints.configs import settings_of_openclip
from clipmodel.checkpoints.layouts import translate, with_our_towers
from clipmodel.checkpoints.read import complete
from clipmodel.errors import ClipModelError
from clipmodel.families import image_family, text_family

# What is published beside the weights of the text towers that are Hugging Face's.
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_ROBERTA = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
_XLM_ROBERTA = _ROBERTA | {"model_type": "xlm-roberta", "vocab_size": 250_002}
_NLLB = {"model_type": "m2m_100", "vocab_size": 256_206, "d_model": 1024, "decoder_layers": 1}
_MT5 = {"model_type": "mt5", "vocab_size": 250_112, "d_kv": 64}
HUGGING_FACE: dict[str, dict[str, Any]] = {
    "roberta-base": _BASE
    | _ROBERTA
    | {"model_type": "roberta", "vocab_size": 50_265, "intermediate_size": 3072},
    "xlm-roberta-base": _BASE | _XLM_ROBERTA | {"intermediate_size": 3072},
    "xlm-roberta-large": _LARGE | _XLM_ROBERTA | {"intermediate_size": 4096},
    "facebook/nllb-200-distilled-600M": _NLLB | {"encoder_layers": 12, "encoder_ffn_dim": 4096},
    "facebook/nllb-200-distilled-1.3B": _NLLB | {"encoder_layers": 24, "encoder_ffn_dim": 8192},
    "google/mt5-base": _MT5 | {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12},
    "google/mt5-xl": _MT5 | {"d_model": 2048, "d_ff": 5120, "num_layers": 24, "num_heads": 32},
}


def main() -> None:
    import open_clip

    logging.disable()
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or open_clip.list_models()
    loaded = 0
    for name in names:
        line = verdict(open_clip.get_model_config(name))
        loaded += not line
        print(f"{name:32} {line or 'loads'}", flush=True)
    print(f"{loaded} of {len(names)} load")


def verdict(config: dict[str, Any]) -> str:
    """Return why a model does not load; empty if it does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "open_clip_config.json"
        size = config["vision_cfg"].get("image_size", 224)
        pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "size": size}
        file.write_text(json.dumps({"model_cfg": config, "preprocess_cfg": pixels}))
        try:
            settings = settings_of_openclip(file)
            weights = with_our_towers(translate(weights_of(config))[0], settings)
            read = complete(file, weights, settings)
        except ClipModelError as error:
            return str(error).replace(f"{folder}/", "").removeprefix("layout not supported: ")
    image, text = image_family(read.vision), text_family(read.text)
    wanted = {f"visual.{n}": s for n, s in image.shapes(read.vision, read.embed_dim).items()}
    wanted |= {f"text.{n}": s for n, s in text.shapes(read.text, read.embed_dim).items()}
    held = {n: tuple(w.shape) for n, w in weights.items() if not n.startswith("logit_")}
    held = {n: s for n, s in held.items() if not n.endswith("num_batches_tracked")}
    different = sorted({n for n, _ in held.items() ^ wanted.items()})
    return f"differs in {', '.join(different[:4])}" if different else ""


def weights_of(config: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights of OpenCLIP's model, without memory for their values."""
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    given = {key: value for key, value in config.items() if key != "custom_text"}
    hf_name = config["text_cfg"].get("hf_model_name")
    with torch.device("meta"):
        if hf_name:
            return with_text_of(hf_name, given).state_dict()
        if "multimodal_cfg" in given:
            return CoCa(**given).state_dict()  # type: ignore[no-any-return]
        kind = CustomTextCLIP if config.get("custom_text") else CLIP
        return kind(**given).state_dict()  # type: ignore[no-any-return]


def with_text_of(hf_name: str, config: dict[str, Any]) -> nn.Module:
    """Return a model with a text tower of Hugging Face's, whose config is not downloaded."""
    from open_clip.hf_model import HFTextEncoder
    from open_clip.model import CLIPVisionCfg, _build_vision_tower

    text = config["text_cfg"]
    kinds = {
        "pooler_type": text.get("hf_pooler_type", "mean_pooler"),
        "proj_type": text.get("hf_proj_type", "mlp"),
        "pretrained": False,
    }
    made = nn.Module()
    made.visual = _build_vision_tower(config["embed_dim"], CLIPVisionCfg(**config["vision_cfg"]))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(HUGGING_FACE[hf_name]))
        made.text = HFTextEncoder(folder, config["embed_dim"], **kinds)
    made.logit_scale = nn.Parameter(torch.tensor(1.0))
    return made


if __name__ == "__main__":
    main()
