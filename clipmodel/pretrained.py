"""Models by name or path: bundled, cached, or fetched and converted into a model folder."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from clipmodel.converted import (
    READER_VERSION,
    convert,
    is_model_folder,
    lock,
    of_checkpoint,
    remembered,
    sha256,
)
from clipmodel.errors import CheckpointError, ModelNotFound
from clipmodel.hub import names
from clipmodel.hub.names import HUB, OPENCLIP
from clipmodel.hub.registry import REGISTRY, Pretrained
from clipmodel.model_folder import BUNDLED, ModelFolder, save_folder

__all__ = [
    "ModelFolder",
    "Pretrained",
    "available_models",
    "bundled_models",
    "is_cached",
    "meant",
    "models_folder",
    "obtain",
    "resolve",
    "save_folder",
]

ALIASES = {"tiny": "tiny-2"}  # names of the newest of its kind
OPENAI_CACHE = "~/.cache/clip"  # where OpenAI's own package, and OpenCLIP, keep OpenAI's files


def available_models() -> list[str]:
    """Return the names of OpenAI's models, which `resolve` downloads unless they are cached."""
    return list(REGISTRY)


def bundled_models() -> list[str]:
    """Return the names of the models that are installed with this package, aliases first."""
    return [*ALIASES, *dict.fromkeys(ALIASES.values())]


def meant(name: str | Path) -> str | None:
    """Return the name of the model that `name` means; None for a path and for nothing known.

    Any spelling of a published name will do, unless there is a file or folder of that name.
    """
    given = str(name)
    if name in bundled_models() or given in REGISTRY or given in names.by_name():
        return given
    if given.startswith((HUB, OPENCLIP)):
        return given
    return None if os.path.lexists(_with_home(name)) else names.canonical(given)


def _bundled(name: str | Path) -> Path | None:
    """Return the folder of a bundled model."""
    return BUNDLED / ALIASES.get(str(name), str(name)) if name in bundled_models() else None


def models_folder(download_root: str | Path | None = None) -> Path:
    """Return the folder of models: `download_root`, $RETRIEVE_MODELS or the platform's cache."""
    import platformdirs

    chosen = download_root or os.environ.get("RETRIEVE_MODELS")
    return (
        _with_home(chosen) if chosen else Path(platformdirs.user_cache_dir("retrieve")) / "models"
    )


def _with_home(name: str | Path) -> Path:
    """Expand ~ and ~user; unlike pathlib, leave the name of an unknown user as it is."""
    return Path(os.path.expanduser(name))  # noqa: PTH111


def is_cached(name: str | Path, download_root: str | Path | None = None) -> bool:
    """Return whether `resolve` would neither download nor convert anything."""
    models = models_folder(download_root)
    known = meant(name)
    if known is None:
        path = _with_home(name)
        return is_model_folder(path) or remembered(models, path) is not None
    return is_model_folder(_bundled(known) or _folder_of(known, models))


def _folder_of(known: str, models: Path) -> Path:
    """Return the folder of a model that has a name, whether or not it is there."""
    if (entry := REGISTRY.get(known)) is not None:
        return models / entry.folder_name
    if known.startswith(OPENCLIP):
        return models / _hashed("openclip", known)
    return models / _hashed("hub", "@".join(filter(None, _source(known))))


def _hashed(kind: str, key: str) -> str:
    return f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:32]}-{READER_VERSION}"


def _source(known: str) -> tuple[str, str | None]:
    """Return the repository on the hub, and the revision if one was given."""
    if not known.startswith(HUB):
        return names.by_name()[known].repository, None
    repository, _, revision = known.removeprefix(HUB).partition("@")
    return repository, revision or None


def resolve(
    name_or_path: str | Path,
    *,
    download_root: str | Path | None = None,
    download: bool = True,
    progress: bool = True,
) -> ModelFolder:
    """Return the model folder of a name or a path.

    A name is one of `bundled_models()`, or a published one in any spelling (`retrieve models` lists
    them); `hf:ORG/NAME` and `hf:ORG/NAME@REVISION` are repositories on the Hugging Face hub,
    `open_clip:ARCH/TAG` and `open_clip:ARCH/PATH` are OpenCLIP's names. A path leads to a model
    folder, a checkpoint file (.pt, .bin, .safetensors) or a folder that holds one. A checkpoint is
    converted once.

    Raises ModelNotFound, also if a model is not cached and `download` is False; DownloadError;
    CheckpointError.
    """
    if bundled := _bundled(name_or_path):
        return ModelFolder.open(bundled)
    models = models_folder(download_root)
    known = meant(name_or_path)
    if known is None:
        path = _with_home(name_or_path)
        return ModelFolder.open(path) if is_model_folder(path) else of_checkpoint(path, models)
    if (entry := REGISTRY.get(known)) is not None:
        return obtain(entry, models, download=download, progress=progress)
    folder = _folder_of(known, models)
    if not is_model_folder(folder):
        if not download:
            raise ModelNotFound(f"{known} is not in {models}, and downloads are not allowed")
        _fetch(known, folder, progress)
    return replace(ModelFolder.open(folder), name=known)


def obtain(
    entry: Pretrained, models: Path, *, download: bool = True, progress: bool = True
) -> ModelFolder:
    """Return the model folder of a registry entry; download and convert it if necessary.

    models: the cache. A file with the entry's own name that a user put there, or that OpenAI's
    package left in ~/.cache/clip, replaces the download, and is kept.
    """
    folder = models / entry.folder_name
    if is_model_folder(folder):
        return ModelFolder.open(folder)
    checkpoint = models / entry.url.rpartition("/")[2]
    of_openai = _with_home(OPENAI_CACHE) / checkpoint.name
    placed = checkpoint.exists()
    left_there = not placed and of_openai.is_file() and sha256([of_openai]) == entry.sha256
    if not (placed or left_there or download):
        raise ModelNotFound(
            f"{entry.name} is not in {models}, and downloads are not allowed; allow them, or save "
            f"{entry.url} there"
        )
    with lock(models, entry.folder_name):
        if is_model_folder(folder):  # another process was first
            return ModelFolder.open(folder)
        if placed:
            _check_sum(checkpoint, entry)
        elif left_there:
            return convert(of_openai, folder, entry.name, entry.config)
        else:
            from clipmodel.hub.download import download as fetch

            fetch(entry.url, entry.sha256, checkpoint, progress=progress, label=entry.name)
        converted = convert(checkpoint, folder, entry.name, entry.config)
        if not placed:
            checkpoint.unlink(missing_ok=True)
        return converted


def _check_sum(checkpoint: Path, entry: Pretrained) -> None:
    found = sha256([checkpoint])
    if found != entry.sha256:
        raise CheckpointError(
            f"{checkpoint} is not {entry.name}: its sha256 is {found}, not {entry.sha256}; "
            "remove it to download it again"
        )


# --- from the hub, by its names, OpenCLIP's and ours: converted once ---


def _fetch(known: str, folder: Path, progress: bool) -> None:
    """Fetch and convert a model. What has arrived is kept until that has succeeded."""
    from clipmodel.hub.fetching import Fetch, fetch_checkpoint

    models = folder.parent
    store = models / f"{folder.name}.fetched"
    with lock(models, folder.name), tempfile.TemporaryDirectory(dir=models) as made:
        if is_model_folder(folder):  # another process was first
            return
        how = Fetch(Path(made), store, known, progress)
        with _named(known, made):
            if known.startswith(OPENCLIP):
                from clipmodel.hub.openclip import described

                convert(described(known.removeprefix(OPENCLIP), how), folder, known, None)
            else:
                repository, revision = _source(known)
                fetch_checkpoint(repository, revision, how, names.of_repository(repository))
                convert(how.into, folder, known, None)
        shutil.rmtree(store, ignore_errors=True)


@contextmanager
def _named(known: str, made: str) -> Iterator[None]:
    """Name the model in errors, in place of the folder that is gone when they are read."""
    try:
        yield
    except CheckpointError as error:
        raise type(error)(str(error).replace(f"{made}{os.sep}", f"{known}/")) from error
