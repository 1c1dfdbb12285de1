"""A repository on the hub -> a folder that holds its checkpoint, and nothing else."""

import json
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from clipmodel.checkpoints.files import IN_FOLDERS, beside_of, shards_of
from clipmodel.errors import ClipModelError, DownloadError
from clipmodel.hub.hugging_face import Repository, repository
from clipmodel.hub.image_towers import files_of_modules, name_image_tower
from clipmodel.hub.licences import of_card
from clipmodel.hub.published import Published

OPENCLIP_CONFIG = "open_clip_config.json"
# With OpenCLIP's config, its weights: the same repository may hold other layouts beside it.
_OPENCLIP = tuple(name for name in IN_FOLDERS if name.startswith("open_clip"))
_OF_SENTENCE_TRANSFORMERS = re.compile(r"(\d+_CLIPModel/)")
_DESCRIPTIONS = {path.name for path in beside_of(Path("x")).values()} - {"x.json"}
_VOCABULARIES = {"tokenizer.json", "vocab.txt", "spiece.model", "tokenizer.model"}  # any will do


@dataclass(frozen=True)
class Fetch:
    """Where to: `into` is a new folder, `store` keeps what comes until the model is converted."""

    into: Path
    store: Path
    name: str  # of the model, for the user
    progress: bool = True


def fetch_checkpoint(
    source: str, revision: str | None, how: Fetch, published: Published | None
) -> None:
    """Fetch the weights of a repository and the files that describe them.

    A licence that forbids something is reported first. Raises ModelNotFound, DownloadError,
    CheckpointError, and ClipModelError if a package is missing.
    """
    if published is not None and published.needs and find_spec(published.needs) is None:
        raise ClipModelError(f'{how.name} needs {published.needs}: pip install ".[models]"')
    held = repository(source, revision)
    weights = weights_among(held.files)
    if weights is None:
        raise DownloadError(f"{source} holds none of {', '.join(IN_FOLDERS)}")
    report_licence(held, how.name, published)
    folder = weights.rpartition("/")[0]
    for file in sorted(_described(held.files, folder)):
        fetch(held, file, how, progress=False)
    config = how.into / OPENCLIP_CONFIG
    if config.is_file():
        fetch_vocabulary(_model_of(config), held, how)
        if published is not None and published.quick_gelu:
            _pin_quick_gelu(config)
    for file in files_of_modules(source, held.files):
        fetch(held, file, how, progress=False)
    name_image_tower(source, fetch_weights(held, weights, how))


def report_licence(held: Repository, name: str, published: Published | None) -> None:
    """Warn of a licence that forbids something, before anything is fetched.

    It is the card's or, where that says nothing clear, the one in our list.
    """
    licence = of_card(held.licence)
    if published is not None and (licence is None or licence.commercial is None):
        licence = published.licence or licence
    if licence is not None and licence.warning:
        logging.getLogger("clipmodel").warning(f"{name} {licence.warning}")


def fetch(held: Repository, file: str, how: Fetch, *, progress: bool = True) -> Path:
    """Fetch one file. progress: show a bar, if any are shown. Raises DownloadError."""
    label = f"{how.name} ({file.rpartition('/')[2]})"
    shown = progress and how.progress
    return held.fetch(file, how.into, how.store, progress=shown, label=label)


def fetch_weights(held: Repository, file: str, how: Fetch) -> Path:
    """Fetch a file with weights, or an index and what it names. Raises DownloadError."""
    path = fetch(held, file, how)
    for shard in shards_of(path) if path.suffix == ".json" else ():
        fetch(held, shard.relative_to(how.into).as_posix(), how)
    return path


def weights_among(files: Collection[str]) -> str | None:
    """Return the file with the weights, or their index, among a repository's files."""
    order = (*_OPENCLIP, *IN_FOLDERS) if OPENCLIP_CONFIG in files else IN_FOLDERS
    folders = {match[1] for file in files if (match := _OF_SENTENCE_TRANSFORMERS.match(file))}
    inside = sorted(folders) if "modules.json" in files else []
    return next(
        (folder + name for folder in ("", *inside) for name in order if folder + name in files),
        None,
    )


def fetch_vocabulary(model: dict[str, Any], held: Repository | None, how: Fetch) -> None:
    """Fetch a vocabulary that OpenCLIP's config names, unless it is there. Raises DownloadError."""
    text = model.get("text_cfg") or {}
    name = text.get("hf_tokenizer_name") or text.get("hf_model_name")
    if not name or (held is not None and (name == held.name or _VOCABULARIES & held.files)):
        return
    other = repository(str(name))
    for file in sorted((_VOCABULARIES | {"tokenizer_config.json"}) & other.files):
        fetch(other, file, how, progress=False)


def _described(files: Collection[str], folder: str) -> set[str]:
    """Return the files that describe the weights in a folder of a repository."""
    above = {"modules.json"} if folder else set()
    return {
        file
        for file in files
        if file in above
        or (file.rpartition("/")[0] == folder and file.rpartition("/")[2] in _DESCRIPTIONS)
    }


def _model_of(config: Path) -> dict[str, Any]:
    from clipmodel.checkpoints.json_values import part, read_json

    return part(config, read_json(config), "model_cfg")


def _pin_quick_gelu(config: Path) -> None:
    """Set the activation that OpenCLIP's list has for these weights."""
    from clipmodel.checkpoints.json_values import read_json

    held = read_json(config)
    held["model_cfg"] = _model_of(config) | {"quick_gelu": True}
    config.unlink()  # it may be a link into the hub's cache
    config.write_text(json.dumps(held), encoding="utf-8")
