"""Model folders: config.json and, as safetensors, the weights of each tower.

The towers are separate files so that a text search maps the text tower alone. Nothing here imports
torch, except to save.
"""

import errno
import json
import shutil
import struct
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from clipmodel.config import ModelConfig
from clipmodel.errors import CheckpointError, cannot_read
from clipmodel.families import as_json, from_json
from clipmodel.quantised import SCALE, quantised
from clipmodel.towers.shapes import filed
from clipmodel.vocabularies import vocabulary_of

if TYPE_CHECKING:
    import torch

    from clipmodel.vocabularies import Tokenize

CONFIG, VISION, TEXT = "config.json", "vision.safetensors", "text.safetensors"
BUNDLED = Path(__file__).parent / "weights"  # models that are installed with this package
MAX_HEADER_BYTES = 100_000_000  # bytes, as the safetensors format has it
DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I8": "i1",
    "U8": "u1",
}


@dataclass(frozen=True)
class ModelFolder:
    """A model, ready to be opened. `digest` identifies its weights: sha256, in hex."""

    path: Path
    name: str
    digest: str
    config: ModelConfig

    @classmethod
    def open(cls, path: Path) -> "ModelFolder":
        """Open a folder. Raises CheckpointError if a file is missing or config.json is not ours."""
        for file in (CONFIG, VISION, TEXT):
            if not (path / file).is_file():
                raise CheckpointError(f"{path} is not a model folder: it has no {file}")
        try:
            held = json.loads((path / CONFIG).read_text(encoding="utf-8"))
            config = from_json(held)
        except OSError as error:
            raise cannot_read(path / CONFIG, error) from error
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path / CONFIG} is damaged: {error!r}") from error
        for name in vocabulary_of(config.text).files:
            if not (path / name).is_file():
                raise CheckpointError(f"{path} is not a model folder: it has no {name}")
        return cls(path, str(held["name"]), str(held["digest"]), config)

    def tokenizer(self) -> "Tokenize":
        """Return the model's: (texts, L, truncate) -> (B, L) token ids, padding after the end.

        Raises CheckpointError, and ClipModelError if a package is missing.
        """
        return vocabulary_of(self.config.text).tokenizer(self.path)

    @property
    def is_bundled(self) -> bool:
        """True for a model that is installed with this package."""
        return self.path.parent == BUNDLED

    @property
    def vision_file(self) -> Path:
        return self.path / VISION

    @property
    def text_file(self) -> Path:
        return self.path / TEXT


def save_folder(
    path: Path,
    name: str,
    config: ModelConfig,
    state_dict: "Mapping[str, torch.Tensor]",
    dtype: Literal["float16", "float32"] | None = None,
    *,
    int8: Collection[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> ModelFolder:
    """Write a model folder in one move, replacing an existing one.

    state_dict: of a `CLIP.of(config)`. dtype: of the stored matrices (None: unchanged); vectors
    stay, as they are few, and some are differences of large numbers. int8: names of matrices, in
    the folder, to store as integers with scales. files: what the tokenizer needs, by their name.
    Other files in the folder, such as a model card, are kept.
    """
    from safetensors.torch import save_file

    weights = _stored({filed(name): w for name, w in state_dict.items()}, dtype, int8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside:
        part = Path(beside) / path.name
        if path.is_dir():
            shutil.copytree(path, part)
        part.mkdir(exist_ok=True)
        for file, content in (files or {}).items():
            (part / file).write_bytes(content)
        towers = {VISION: ("visual.",), TEXT: ("text.", "logit_scale", "logit_bias")}
        for file, prefixes in towers.items():
            tower = {k: v for k, v in weights.items() if k.startswith(prefixes)}
            save_file(tower, part / file)
        digest = _digest(part, vocabulary_of(config.text).files)
        held = {"name": name, "digest": digest, **as_json(config)}
        (part / CONFIG).write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")
        if path.exists():
            path.replace(Path(beside) / "former")
        part.replace(path)
    return ModelFolder.open(path)


def _stored(
    state_dict: "Mapping[str, torch.Tensor]", dtype: str | None, int8: Collection[str]
) -> "dict[str, torch.Tensor]":
    """Return the tensors as the files hold them."""
    import torch

    if unknown := set(int8) - state_dict.keys():
        raise ValueError(f"no weights {', '.join(sorted(unknown))} to store as integers")
    stored = {}
    for name, tensor in state_dict.items():
        tensor = tensor.detach().cpu()
        if name in int8:
            integers, scale = quantised(tensor.float().numpy())
            stored[name], stored[name + SCALE] = torch.from_numpy(integers), torch.from_numpy(scale)
        elif tensor.is_floating_point() and dtype and tensor.ndim > 1:
            stored[name] = tensor.to(getattr(torch, dtype)).contiguous()
        else:
            stored[name] = tensor.contiguous()
    return stored


def _digest(folder: Path, others: Sequence[str]) -> str:
    """Hash all files. safetensors sorts its tensors, so equal weights have equal bytes."""
    summed = sha256()
    for file in (VISION, TEXT, *others):
        summed.update((folder / file).read_bytes())
    return summed.hexdigest()


def read_tensors(file: Path) -> dict[str, NDArray[Any]]:
    """Map the tensors of a safetensors file into memory, read-only; bfloat16 becomes float32.

    Raises CheckpointError unless every tensor lies within the file and none overlaps another.
    """
    try:
        header, start = _header(file)
        data = _mapped(file)[start:]
        _check_places(header, len(data))
        return {name: _tensor(data, entry) for name, entry in header.items()}
    except OSError as error:
        raise cannot_read(file, error) from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise CheckpointError(f"{file} is damaged: {error}") from error


def _mapped(file: Path) -> NDArray[np.uint8]:
    """Map a file, shared with other processes where the file system supports that."""
    try:
        return np.asarray(np.memmap(file, np.uint8, "r"))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    own = np.asarray(np.memmap(file, np.uint8, "c"))
    own.flags.writeable = False
    return own


def _header(file: Path) -> tuple[dict[str, Any], int]:
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        if length > min(MAX_HEADER_BYTES, file.stat().st_size - 8):
            raise ValueError(f"a header of {length} bytes")
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    return header, 8 + length


def _check_places(header: dict[str, Any], size: int) -> None:
    end = 0
    for first, last in sorted(tuple(entry["data_offsets"]) for entry in header.values()):
        if not end <= first <= last <= size:
            raise ValueError(f"a tensor at bytes {first} to {last} of {size}")
        end = last


def _tensor(data: NDArray[np.uint8], entry: dict[str, Any]) -> NDArray[Any]:
    first, last = entry["data_offsets"]
    if entry["dtype"] == "BF16":  # the upper half of a float32
        halves = data[first:last].view("<u2").astype(np.uint32) << 16
        return halves.view(np.float32).reshape(entry["shape"])
    return data[first:last].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
