"""Models by name or path: bundled, cached, or downloaded and converted into a model folder."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from clipmodel.checkpoints.files import beside_of, files_of
from clipmodel.config import ModelConfig
from clipmodel.errors import (
    CheckpointError,
    ClipModelError,
    ModelNotFound,
    TooManyOpenFiles,
    is_spent,
)
from clipmodel.hub.registry import REGISTRY, Pretrained
from clipmodel.model_folder import BUNDLED, ModelFolder, save_folder
from clipmodel.vocabularies import vocabulary_of

__all__ = [
    "ModelFolder",
    "Pretrained",
    "available_models",
    "bundled_models",
    "is_cached",
    "models_folder",
    "obtain",
    "resolve",
    "save_folder",
]

ALIASES = {"tiny": "tiny-2"}  # names of the newest of its kind
OPENCLIP = "open_clip:"  # before OpenCLIP's names
READER_VERSION = 4  # of checkpoints/: models converted by an older version are converted again


def available_models() -> list[str]:
    """Return the names of OpenAI's models, which `resolve` downloads unless they are cached."""
    return list(REGISTRY)


def bundled_models() -> list[str]:
    """Return the names of the models that are installed with this package, aliases first."""
    return [*ALIASES, *dict.fromkeys(ALIASES.values())]


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
    if bundled := _bundled(name):
        return _is_model_folder(bundled)
    models = models_folder(download_root)
    entry = REGISTRY.get(str(name))
    if entry is not None:
        return _is_model_folder(models / entry.folder_name)
    if str(name).startswith(OPENCLIP):
        return _is_model_folder(_folder_of_openclip(str(name), models))
    path = _with_home(name)
    return _is_model_folder(path) or _remembered(models, path) is not None


def resolve(
    name_or_path: str | Path,
    *,
    download_root: str | Path | None = None,
    download: bool = True,
    progress: bool = True,
) -> ModelFolder:
    """Return the model folder of a name or a path.

    A name is one of `available_models()` or `bundled_models()`; a path leads to a model folder, a
    checkpoint file (.pt, .bin, .safetensors) or a folder that holds one. `open_clip:ARCH/TAG` and
    `open_clip:ARCH/PATH` are OpenCLIP's names. A checkpoint is converted once.

    Raises ModelNotFound, also if a model is not cached and `download` is False; DownloadError;
    CheckpointError.
    """
    if bundled := _bundled(name_or_path):
        return ModelFolder.open(bundled)
    models = models_folder(download_root)
    entry = REGISTRY.get(str(name_or_path))
    if entry is not None:
        return obtain(entry, models, download=download, progress=progress)
    if str(name_or_path).startswith(OPENCLIP):
        return _of_openclip(str(name_or_path), models, download=download)
    path = _with_home(name_or_path)
    if _is_model_folder(path):
        return ModelFolder.open(path)
    return _of_checkpoint(path, models)


def obtain(
    entry: Pretrained, models: Path, *, download: bool = True, progress: bool = True
) -> ModelFolder:
    """Return the model folder of a registry entry; download and convert it if necessary.

    models: the cache. A file with the entry's own name that a user put there replaces the download,
    and is kept.
    """
    folder = models / entry.folder_name
    if _is_model_folder(folder):
        return ModelFolder.open(folder)
    checkpoint = models / entry.url.rpartition("/")[2]
    placed = checkpoint.exists()
    if not placed and not download:
        raise ModelNotFound(
            f"{entry.name} is not in {models}, and downloads are not allowed; allow them, or save "
            f"{entry.url} there"
        )
    with _lock(models, entry.folder_name):
        if _is_model_folder(folder):  # another process was first
            return ModelFolder.open(folder)
        if placed:
            _check_sum(checkpoint, entry)
        else:
            from clipmodel.hub.download import download as fetch

            fetch(entry.url, entry.sha256, checkpoint, progress=progress, label=entry.name)
        converted = _convert(checkpoint, folder, entry.name, entry.config)
        if not placed:
            checkpoint.unlink(missing_ok=True)
        return converted


def _is_model_folder(path: Path) -> bool:
    # Not pathlib's is_file, which raises for names that are too long.
    return all(os.path.isfile(path / name) for name in ("config.json", "vision.safetensors"))  # noqa: PTH113


@contextmanager
def _lock(models: Path, name: str) -> Iterator[None]:
    from clipmodel.hub.file_lock import acquired

    try:
        models.mkdir(parents=True, exist_ok=True)
        lock = acquired(models / f"{name}.lock")
    except OSError as error:
        raise _unwritable(models, error) from error
    try:
        yield
    finally:
        lock.release()


def _check_sum(checkpoint: Path, entry: Pretrained) -> None:
    found = _sha256([checkpoint])
    if found != entry.sha256:
        raise CheckpointError(
            f"{checkpoint} is not {entry.name}: its sha256 is {found}, not {entry.sha256}; "
            "remove it to download it again"
        )


def _convert(checkpoint: Path, folder: Path, name: str, config: ModelConfig | None) -> ModelFolder:
    """Convert a checkpoint, its text tower to float32, which NumPy maps."""
    from clipmodel.checkpoints.read import read_checkpoint

    state_dict, config = read_checkpoint(checkpoint, config)
    weights_file, _ = files_of(checkpoint)
    try:
        files = vocabulary_of(config.text).collect(config.text, beside_of(weights_file))
    except CheckpointError as error:
        raise CheckpointError(f"{weights_file}: {error}") from error
    weights = {
        key: tensor if key.startswith("visual.") else tensor.float()
        for key, tensor in state_dict.items()
    }
    try:
        return save_folder(folder, name, config, weights, files=files)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> ClipModelError:
    if is_spent(error):
        return TooManyOpenFiles(folder)
    return ClipModelError(
        f"cannot write {folder}: {error.strerror or error}; "
        "set RETRIEVE_MODELS to another folder for models"
    )


# --- by OpenCLIP's names: converted once ---


def _of_openclip(name: str, models: Path, *, download: bool) -> ModelFolder:
    folder = _folder_of_openclip(name, models)
    if not _is_model_folder(folder):
        if not download:
            raise ModelNotFound(f"{name} is not in {models}, and downloads are not allowed")
        from clipmodel.hub.openclip import described

        with _lock(models, folder.name), tempfile.TemporaryDirectory(dir=models) as made:
            _convert(described(name.removeprefix(OPENCLIP), Path(made)), folder, name, None)
    return replace(ModelFolder.open(folder), name=name)


def _folder_of_openclip(name: str, models: Path) -> Path:
    return models / f"openclip-{hashlib.sha256(name.encode()).hexdigest()[:32]}-{READER_VERSION}"


# --- checkpoints by path: converted once, recognised by their content ---


def _of_checkpoint(path: Path, models: Path) -> ModelFolder:
    folder = _remembered(models, path)
    if folder is None:
        if not path.exists():
            raise _unknown(str(path))
        folder = _converted(path, models)
        _remember(models, path, folder)
    # Its name is its path, by which a library finds it again.
    return replace(ModelFolder.open(folder), name=str(path.absolute()))


def _unknown(name: str) -> ModelNotFound:
    import difflib

    known = [*bundled_models(), *available_models()]
    lower = {one.lower(): one for one in known}
    if near := difflib.get_close_matches(name.lower(), lower, 1, 0.75):
        return ModelNotFound(f"no model {name!r}; did you mean {lower[near[0]]}?")
    every = ", ".join(known)
    return ModelNotFound(f"no model {name!r}: it is neither a path nor one of {every}")


def _converted(path: Path, models: Path) -> Path:
    weights, beside = files_of(path)
    digest = _sha256([weights])
    entry = next((entry for entry in REGISTRY.values() if entry.sha256 == digest), None)
    key = (
        digest if entry else _sha256([weights, *beside])
    )  # another config beside the same weights makes another model
    folder = models / f"sha256-{key[:32]}{'' if entry else f'-{READER_VERSION}'}"
    with _lock(models, folder.name):
        if not _is_model_folder(folder):
            _convert(path, folder, path.stem, entry.config if entry else None)
    return folder


def _sha256(files: Sequence[Path]) -> str:
    """Return the sha256 of one file, as published, or that of the sums of several."""
    digests = []
    for path in files:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return (
        digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
    )


def _note(models: Path, path: Path) -> Path:
    return models / f"path-{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]}.json"


def _stamp(path: Path) -> list[list[int | str]]:
    """Return size and time of every file that the model is made from."""
    weights, beside = files_of(path)
    stats = [(file.name, file.stat()) for file in (weights, *beside)]
    return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]


def _remember(models: Path, path: Path, folder: Path) -> None:
    """Note the folder, so that the next call need not hash anything."""
    note = _note(models, path)
    part = note.with_suffix(f".{os.getpid()}.part")
    held = {"folder": folder.name, "files": _stamp(path), "reading": READER_VERSION}
    part.write_text(json.dumps(held))
    part.replace(note)


def _remembered(models: Path, path: Path) -> Path | None:
    """Return the folder that `path` was converted into, unless it has changed since."""
    try:
        held = json.loads(_note(models, path).read_text())
        folder = models / str(held["folder"])
        is_of_now = held.get("reading") == READER_VERSION
        unchanged = not path.exists() or (is_of_now and held["files"] == _stamp(path))
    except (OSError, ValueError, KeyError, TypeError, ClipModelError):
        return None
    return folder if unchanged and _is_model_folder(folder) else None
