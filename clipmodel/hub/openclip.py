"""Models by OpenCLIP's names: `open_clip:ARCH/TAG` and `open_clip:ARCH/PATH`.

OpenCLIP's own lists say how ARCH computes and where the weights of TAG are; its downloader fetches
them. PATH is a file with weights and without a config beside it.
"""

import difflib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmodel.errors import ClipModelError, DownloadError, ModelNotFound

PREFIX = "open_clip:"  # before OpenCLIP's names
_PIXELS = ("mean", "std", "interpolation", "resize_mode", "size")
_VOCABULARIES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")


def described(name: str, folder: Path) -> Path:
    """Fill a folder with the weights of ARCH/TAG or ARCH/PATH and their config, and return it.

    Raises ModelNotFound, DownloadError, and ClipModelError if the extra is missing.
    """
    try:
        import open_clip
    except ImportError as error:
        raise ClipModelError(f'{PREFIX}… needs OpenCLIP: pip install ".[models]"') from error
    arch, _, rest = name.partition("/")
    config = open_clip.get_model_config(arch)
    if config is None:
        near = difflib.get_close_matches(arch, open_clip.list_models(), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ModelNotFound(f"OpenCLIP has no model {arch!r}{hint}")
    path = Path(os.path.expanduser(rest))  # noqa: PTH111  # leaves the name of an unknown user
    if rest and path.is_file():
        return _filled(folder, path, path.parent, config, {})
    if not open_clip.is_pretrained_cfg(arch, rest):
        tags = open_clip.list_pretrained_tags_by_model(arch)
        known = f"{', '.join(tags)} or a file" if tags else "a file"
        raise ModelNotFound(f"{PREFIX}{arch} has no weights {rest!r}; give {known}")
    published = open_clip.get_pretrained_cfg(arch, rest)
    try:
        weights = Path(open_clip.download_pretrained(published))
        _fetch_vocabulary(config, folder)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DownloadError(f"cannot download {PREFIX}{name}: {reason}") from error
    return _filled(folder, weights, weights.parent, config, published)


def _filled(
    folder: Path,
    weights: Path,
    beside: Path,
    config: Mapping[str, Any],
    published: Mapping[str, Any],
) -> Path:
    """Link the weights, copy the vocabulary beside them, and write the config."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    pixels = {"mean": list(OPENAI_DATASET_MEAN), "std": list(OPENAI_DATASET_STD)}
    pixels |= {key: published[key] for key in _PIXELS if key in published}
    model = dict(config) | ({"quick_gelu": True} if published.get("quick_gelu") else {})
    held = {"model_cfg": model, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(held), encoding="utf-8")
    for name in _VOCABULARIES:
        if (beside / name).is_file() and not (folder / name).exists():
            shutil.copyfile(beside / name, folder / name)
    target = folder / weights.name
    try:
        target.symlink_to(weights.resolve())
    except OSError:  # Windows allows it to administrators alone
        shutil.copyfile(weights, target)
    return target


def _fetch_vocabulary(config: Mapping[str, Any], folder: Path) -> None:
    """Copy the files of another vocabulary than CLIP's from the hub. Raises OSError."""
    repository = config["text_cfg"].get("hf_tokenizer_name")
    if not repository:
        return
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in _VOCABULARIES:
        try:
            shutil.copyfile(hf_hub_download(repository, name), folder / name)
        except EntryNotFoundError:  # not every repository has each
            continue
