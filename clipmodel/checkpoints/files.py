"""The files of a checkpoint. Nothing here imports torch: a cached model is found without it."""

from pathlib import Path

from clipmodel.errors import CheckpointError, ModelNotFound

# The files with weights that a folder may hold, the safest first.
_IN_FOLDERS = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "pytorch_model.bin",
)


def files_of(path: Path) -> tuple[Path, list[Path]]:
    """Return the file with the weights, and the files beside it that describe the model."""
    if path.is_dir():
        found = next((path / name for name in _IN_FOLDERS if (path / name).is_file()), None)
        if found is None:
            raise CheckpointError(f"{path} holds none of {', '.join(_IN_FOLDERS)}")
        path = found
    if not path.is_file():
        raise ModelNotFound(f"no checkpoint {path}")
    return path, [file for file in beside_of(path).values() if file.is_file()]


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
    }
