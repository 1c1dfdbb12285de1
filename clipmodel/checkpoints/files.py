"""The files of a checkpoint. Nothing here imports torch: a cached model is found without it."""

import re
from pathlib import Path
from typing import Any

from clipmodel.checkpoints.json_values import part, read_json, read_list
from clipmodel.errors import CheckpointError, ModelNotFound

# The files with weights that a folder may hold, the safest first.
IN_FOLDERS = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors.index.json",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SHARD = re.compile(r"(.+)-\d{5}-of-\d{5}(\.\w+)")
IMAGE_TOWER = "image_tower"  # in FILE.json beside a text tower: a model's name or path
MODULES = "modules.json"  # of sentence-transformers: the folder of each module


def files_of(path: Path) -> tuple[Path, list[Path]]:
    """Return the file with the weights, or their index, and the files that describe the model.

    The files that an index names are among the latter.
    """
    if path.is_dir():
        path = _in_folder(path)
    if not path.is_file():
        raise ModelNotFound(f"no checkpoint {path}")
    if (shard := _SHARD.fullmatch(path.name)) is not None:
        index = path.with_name(f"{shard[1]}{shard[2]}.index.json")
        path = index if index.is_file() else path
    described = [file for file in beside_of(path).values() if file.is_file()]
    if (dense := dense_of(path)) is not None:
        described.append(dense)
    return path, [*(shards_of(path) if path.suffix == ".json" else []), *described]


def shards_of(index: Path) -> list[Path]:
    """Return the files that an index names. Raises CheckpointError."""
    names = {*part(index, read_json(index), "weight_map").values()}
    if not names or not all(isinstance(name, str) and Path(name).name == name for name in names):
        raise CheckpointError(f"{index} names no files beside it")
    return [index.with_name(name) for name in sorted(names)]


def _in_folder(folder: Path) -> Path:
    """Return the file with the weights, or their index."""
    found = next((folder / name for name in IN_FOLDERS if (folder / name).is_file()), None)
    if found is None and (of_clip := _of_sentence_transformers(folder)) is not None:
        return _in_folder(of_clip)
    if found is None:
        raise CheckpointError(f"{folder} holds none of {', '.join(IN_FOLDERS)}")
    return found


def _of_sentence_transformers(folder: Path) -> Path | None:
    """Return the folder of the CLIP in a folder of sentence-transformers."""
    file = folder / MODULES
    if not file.is_file():
        return None
    for module in read_list(file):
        if isinstance(module, dict) and str(module.get("type", "")).endswith("CLIPModel"):
            name = str(module.get("path", ""))
            return folder / name if name and Path(name).name == name else None
    raise CheckpointError(f"layout not supported: {file} names no CLIPModel")


def modules_of(file: Path) -> list[tuple[str, Path]]:
    """Return the kinds and folders of sentence-transformers' modules, if they are listed beside.

    Raises CheckpointError.
    """
    path = file.with_name(MODULES)
    modules = [(_kind(held), held.get("path", "")) for held in _objects(path)]
    if any(name != "" and Path(str(name)).name != name for _, name in modules):
        raise CheckpointError(f"{path} names no folders beside it")
    return [(kind, file.parent / str(name)) for kind, name in modules]


def _objects(path: Path) -> list[dict[str, Any]]:
    return [each for each in read_list(path) if isinstance(each, dict)] if path.is_file() else []


def _kind(module: dict[str, Any]) -> str:
    return str(module.get("type", "")).rpartition(".")[2]


def dense_of(file: Path) -> Path | None:
    """Return the weights of the layer after a text tower of sentence-transformers.

    None if there is no such layer. Raises CheckpointError if its file is missing.
    """
    folder = dict(modules_of(file)).get("Dense")
    if folder is None:
        return None
    names = ("model.safetensors", "pytorch_model.bin")
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder} holds none of {', '.join(names)}")
    return found


def beside_of(file: Path) -> dict[str, Path]:
    """Return where such descriptions may be: a user's own file, OpenCLIP's, Hugging Face's."""
    return {
        "ours": file.with_name(file.name + ".json"),
        "openclip": file.with_name("open_clip_config.json"),
        "huggingface": file.with_name("config.json"),
        "pixels": file.with_name("preprocessor_config.json"),
        "processor": file.with_name("processor_config.json"),
        "tokenizer": file.with_name("tokenizer.json"),
        "vocabulary": file.with_name("vocab.json"),
        "pieces": file.with_name("vocab.txt"),
        "tokenizer_config": file.with_name("tokenizer_config.json"),
        "spiece": file.with_name("spiece.model"),
        "sentencepiece": file.with_name("tokenizer.model"),
        "modules": file.with_name(MODULES),
        "lengths": file.with_name("sentence_bert_config.json"),
    }
