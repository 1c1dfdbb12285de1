"""Checkpoints converted into model folders, once; those by path are recognised by their content."""

import hashlib
import json
import os
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
from clipmodel.hub.names import unknown
from clipmodel.hub.registry import REGISTRY
from clipmodel.model_folder import ModelFolder, save_folder
from clipmodel.vocabularies import vocabulary_of

READER_VERSION = 4  # of checkpoints/: models converted by an older version are converted again


def is_model_folder(path: Path) -> bool:
    """Return whether a folder holds a converted model."""
    # Not pathlib's is_file, which raises for names that are too long.
    return all(os.path.isfile(path / name) for name in ("config.json", "vision.safetensors"))  # noqa: PTH113


@contextmanager
def lock(models: Path, name: str) -> Iterator[None]:
    """Make the folder of models, and let one process at a time convert the model `name`."""
    from clipmodel.hub.file_lock import acquired

    try:
        models.mkdir(parents=True, exist_ok=True)
        held = acquired(models / f"{name}.lock")
    except OSError as error:
        raise unwritable(models, error) from error
    try:
        yield
    finally:
        held.release()


def convert(checkpoint: Path, folder: Path, name: str, config: ModelConfig | None) -> ModelFolder:
    """Convert a checkpoint, its text tower to float32, which NumPy maps."""
    from clipmodel.checkpoints.read import read_checkpoint

    state_dict, config = read_checkpoint(checkpoint, config, models=folder.parent)
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
        raise unwritable(folder, error) from error


def unwritable(folder: Path, error: OSError) -> ClipModelError:
    """Return the error for a folder of models that cannot be written."""
    if is_spent(error):
        return TooManyOpenFiles(folder)
    return ClipModelError(
        f"cannot write {folder}: {error.strerror or error}; "
        "set RETRIEVE_MODELS to another folder for models"
    )


# --- checkpoints by path: converted once, recognised by their content ---


def of_checkpoint(path: Path, models: Path) -> ModelFolder:
    """Return the model folder of a checkpoint, converted if necessary. Raises ClipModelError."""
    folder = remembered(models, path)
    if folder is None:
        if not path.exists():
            raise ModelNotFound(unknown(str(path), ("tiny",)))
        folder = _converted(path, models)
        _remember(models, path, folder)
    # Its name is its path, by which a library finds it again.
    return replace(ModelFolder.open(folder), name=str(path.absolute()))


def _converted(path: Path, models: Path) -> Path:
    weights, beside = files_of(path)
    digest = sha256([weights])
    entry = next((entry for entry in REGISTRY.values() if entry.sha256 == digest), None)
    key = (
        digest if entry else sha256([weights, *beside])
    )  # another config beside the same weights makes another model
    folder = models / f"sha256-{key[:32]}{'' if entry else f'-{READER_VERSION}'}"
    with lock(models, folder.name):
        if not is_model_folder(folder):
            convert(path, folder, path.stem, entry.config if entry else None)
    return folder


def sha256(files: Sequence[Path]) -> str:
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


def remembered(models: Path, path: Path) -> Path | None:
    """Return the folder that `path` was converted into, unless it has changed since."""
    try:
        held = json.loads(_note(models, path).read_text())
        folder = models / str(held["folder"])
        is_of_now = held.get("reading") == READER_VERSION
        unchanged = not path.exists() or (is_of_now and held["files"] == _stamp(path))
    except (OSError, ValueError, KeyError, TypeError, ClipModelError):
        return None
    return folder if unchanged and is_model_folder(folder) else None
