"""OpenAI's module `clip.clip`: `load`, `tokenize`, and the names behind them that programs use.

Nothing here imports torch before it is needed.
"""

import os
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipmodel.errors import UnknownConfig

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from clipmodel.model import CLIP

    Transform = Callable[[Image.Image], torch.Tensor]

__all__ = ["available_models", "load", "tokenize"]


def available_models() -> list[str]:
    """Return the names of OpenAI's nine models, which `load` downloads; "tiny" is bundled."""
    from clipmodel.pretrained import available_models

    return available_models()


def load(
    name: str | Path,
    device: "str | torch.device | None" = None,
    jit: bool = False,
    download_root: str | Path | None = None,
) -> "tuple[CLIP, Transform]":
    """Return a model in evaluation mode, and its transform.

    The transform maps a PIL image to (3, H, W) float32, normalised.

    name: one of `available_models()`, "tiny", another published name (`retrieve models`),
    "hf:ORG/NAME", "open_clip:ARCH/TAG", or the path of a checkpoint. device: by default the first
    CUDA device, else the CPU. The weights are float16 on CUDA, as OpenAI's are, and float32
    elsewhere. jit: True has no effect but a warning, as it would run code from the file.
    download_root: the folder for models, by default $RETRIEVE_MODELS or the platform's cache
    folder; files of OpenAI's package in ~/.cache/clip are used, too.

    Raises a ClipModelError (see clipmodel.errors); that for an unknown name is a RuntimeError.
    """
    if jit:
        warnings.warn(
            "jit=True has no effect: no code of a checkpoint is run, the model is an nn.Module",
            stacklevel=2,
        )
    from clipmodel.preprocess import transform
    from clipmodel.pretrained import resolve
    from clipmodel.torch_backend.devices import default_device
    from clipmodel.torch_backend.loading import load_model

    device = device or default_device()
    try:
        folder = resolve(name, download_root=download_root)
    except UnknownConfig as error:
        return _load_as_openais(Path(os.path.expanduser(name)), device, error)  # noqa: PTH111
    return load_model(folder, device), transform(folder.config)


def _load_as_openais(
    path: Path, device: "str | torch.device", error: UnknownConfig
) -> "tuple[CLIP, Transform]":
    """Load weights that nothing describes as OpenAI's code does: it knows but one kind of model."""
    from clipmodel.checkpoints.files import files_of
    from clipmodel.checkpoints.layouts import is_huggingfaces
    from clipmodel.checkpoints.storage.shards import load_all
    from clipmodel.model import build_model

    weights = load_all(files_of(path)[0]) if path.exists() else {}
    if not weights or is_huggingfaces(weights):
        raise error
    warnings.warn(
        f"{path} is taken for the weights of a model of OpenAI's; if it is not, its vectors are "
        f"wrong: describe it in {path.name}.json beside it (activation, head_width, mean, std)",
        stacklevel=3,
    )
    model = build_model(weights).to(device)
    if model.logit_scale.device.type != "cuda":
        model.float()
    return model, _transform(model.config.vision.image_size)


def tokenize(
    texts: str | list[str], context_length: int = 77, truncate: bool = False
) -> "torch.Tensor":
    """Return a row of token ids for each text: (B, context_length) int32, zeros after the end.

    For CLIP's own text tower; for others see `ModelFolder.tokenizer`. Raises TextTooLong (a
    RuntimeError, and a ValueError) for a text that is too long, unless `truncate` cuts off its end.
    """
    import torch

    from clipmodel.tokenizer import token_ids

    batch = [texts] if isinstance(texts, str) else texts
    return torch.from_numpy(token_ids(batch, context_length, truncate)).int()


# --- names that are private in OpenAI's package, and used all the same ---


def _download(url: str, root: str | Path = "~/.cache/clip") -> str:
    """Return the path of a file in `root`, downloaded unless it is there and complete.

    url: its last folder is the file's sha256, as in `_MODELS`. Raises DownloadError.
    """
    import hashlib

    from clipmodel.hub.download import download

    *_, sha256, name = url.split("/")
    target = Path(os.path.expanduser(root)) / name  # noqa: PTH111
    if target.is_file():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return str(target)
        warnings.warn(f"{target} does not have the sha256 {sha256}: downloading it", stacklevel=2)
    download(url, sha256, target)
    return str(target)


def _transform(n_px: int) -> "Transform":
    """Return OpenAI's transform: a PIL image to (3, n_px, n_px) float32, normalised."""
    from clipmodel.config import Resize
    from clipmodel.hub.registry import OPENAI_MEAN, OPENAI_STD
    from clipmodel.preprocess import pipeline

    return pipeline(Resize(n_px), OPENAI_MEAN, OPENAI_STD)


def _of(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


_LATER: dict[str, Callable[[], Any]] = {
    "BICUBIC": lambda: _of("torchvision.transforms", "InterpolationMode").BICUBIC,
    "_MODELS": lambda: {m.name: m.url for m in _of("clipmodel.hub.registry", "REGISTRY").values()},
    "_Tokenizer": lambda: _of("clipmodel.simple_tokenizer", "SimpleTokenizer"),
    "_convert_image_to_rgb": lambda: _of("clipmodel.preprocess", "to_rgb"),
    "_tokenizer": lambda: _of("clipmodel.simple_tokenizer", "SimpleTokenizer")(),
    "build_model": lambda: _of("clipmodel.model", "build_model"),
}


def __getattr__(name: str) -> Any:
    """Make a name when it is first used."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = _LATER[name]()
    return made
