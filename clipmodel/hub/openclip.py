"""Models by OpenCLIP's names: `open_clip:ARCH/TAG` and `open_clip:ARCH/PATH`.

OpenCLIP's own lists say how ARCH computes and where the weights of TAG are. PATH is a file with
weights and without a config beside it.
"""

import difflib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clipmodel.errors import ClipModelError, ModelNotFound
from clipmodel.hub.fetching import (
    OPENCLIP_CONFIG,
    Fetch,
    fetch_vocabulary,
    fetch_weights,
    report_licence,
    weights_among,
)
from clipmodel.hub.hugging_face import repository
from clipmodel.hub.names import OPENCLIP, of_repository

_PIXELS = ("mean", "std", "interpolation", "resize_mode", "size")
_VOCABULARIES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")


def described(name: str, how: Fetch) -> Path:
    """Fill `how.into` with the weights of ARCH/TAG or ARCH/PATH and a config; return the weights.

    Raises ModelNotFound, DownloadError, and ClipModelError if the extra is missing.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ClipModelError(f'{OPENCLIP}… needs OpenCLIP: pip install ".[models]"') from error
    arch, _, rest = name.partition("/")
    config = open_clip.get_model_config(arch)
    if config is None:
        near = difflib.get_close_matches(arch, open_clip.list_models(), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ModelNotFound(f"OpenCLIP has no model {arch!r}{hint}")
    path = Path(os.path.expanduser(rest))  # noqa: PTH111  # leaves the name of an unknown user
    if rest and path.is_file():
        _copy_vocabulary(path.parent, how.into)
        _write_config(how.into, config, {})
        return _linked(path, how.into)
    if not open_clip.is_pretrained_cfg(arch, rest):
        tags = open_clip.list_pretrained_tags_by_model(arch)
        known = f"{', '.join(tags)} or a file" if tags else "a file"
        raise ModelNotFound(f"{OPENCLIP}{arch} has no weights {rest!r}; give {known}")
    published = open_clip.get_pretrained_cfg(arch, rest)
    return _fetched(config, published, replace(how, name=f"{OPENCLIP}{name}"))


def _fetched(config: Mapping[str, Any], published: Mapping[str, Any], how: Fetch) -> Path:
    """Fetch the weights and the vocabulary of a model, and write its config."""
    source, _, file = published["hf_hub"].rpartition("/")
    held = repository(source)
    weights = weights_among(held.files | {OPENCLIP_CONFIG})
    if file in held.files:  # another than OpenCLIP's usual, of which there may be a safer form
        safe = f"{file.rpartition('.')[0]}.safetensors"
        weights = safe if safe in held.files else file
    if weights is None:
        raise ModelNotFound(f"{source} holds no weights for {how.name}")
    report_licence(held, how.name, of_repository(source))
    fetch_vocabulary(dict(config), None, how)
    _write_config(how.into, config, published)
    return fetch_weights(held, weights, how)


def _write_config(folder: Path, config: Mapping[str, Any], published: Mapping[str, Any]) -> None:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    pixels = {"mean": list(OPENAI_DATASET_MEAN), "std": list(OPENAI_DATASET_STD)}
    pixels |= {key: published[key] for key in _PIXELS if key in published}
    model = dict(config) | ({"quick_gelu": True} if published.get("quick_gelu") else {})
    held = {"model_cfg": model, "preprocess_cfg": pixels}
    (folder / OPENCLIP_CONFIG).write_text(json.dumps(held), encoding="utf-8")


def _copy_vocabulary(source: Path, folder: Path) -> None:
    for name in _VOCABULARIES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)


def _linked(weights: Path, folder: Path) -> Path:
    target = folder / weights.name
    try:
        target.symlink_to(weights.resolve())
    except OSError:  # Windows allows it to administrators alone
        shutil.copyfile(weights, target)
    return target
