"""Tensors from a checkpoint file that nobody vouches for: nothing in it is run or trusted.

torch's zip archives (`torch.save`, TorchScript) are read here, not by torch: their pickle may only
name tensors, and every tensor must lie within the file. Older files go through
`torch.load(weights_only=True)`.
"""

import math
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from clipmodel.checkpoints.storage.pickles import TensorUnpickler, check_pickle
from clipmodel.errors import CheckpointError, cannot_read

_MAX_PICKLE_BYTES = 64 * 2**20  # bytes; those of real models have a few hundred thousand
_MAX_DEPTH = 32  # modules within modules
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


_WRAPPERS = ("state_dict", "model_state_dict", "model")  # keys of weights beside an optimizer's


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a checkpoint, or of the `state_dict` in it, by their dotted names.

    Raises CheckpointError for a file that is not a checkpoint, or does not look harmless.
    """
    try:
        with path.open("rb") as file:
            start = file.read(9)
        if start.startswith(b"PK\x03\x04"):
            return _load_zip(path)
        if start[8:] == b"{":
            return _load_safetensors(path)
        if start.startswith(b"\x80"):
            return _load_legacy(path)
    except OSError as error:
        raise cannot_read(path, error) from error
    except zipfile.BadZipFile as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    raise CheckpointError(f"{path} is not a checkpoint: neither a torch archive nor safetensors")


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError

    from clipmodel.torch_backend.safetensors_file import load_safetensors

    try:
        return load_safetensors(path)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _load_legacy(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        # A magic number, the version, the machine, the objects, the storages' names.
        for _ in range(5):
            check_pickle(file, path, _MAX_PICKLE_BYTES)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # anything that a hostile file may provoke in torch
        raise CheckpointError(
            f"{path} cannot be read as weights alone: {_first_line(error)}"
        ) from error
    tensors = dict(_tensors(held))
    _check_bounds(path, tensors)
    return tensors


def _check_bounds(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse views that repeat bytes: a copy of one could fill the memory."""
    if (
        sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        > path.stat().st_size
    ):
        raise CheckpointError(f"{path} claims tensors larger than itself")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


# --- torch's zip archives ---


@dataclass(frozen=True)
class StoredTensor:
    """The place of a tensor: its storage, and its layout there in elements."""

    storage: "Storage"
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Storage:
    """An entry of the archive, and torch's name for its type."""

    kind: str
    key: str


def _load_zip(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        root = _root(path, archive)
        with archive.open(_entry(path, archive, f"{root}/data.pkl", _MAX_PICKLE_BYTES)) as file:
            held = _unpickle(path, file)
        order = f"{root}/byteorder"
        if (
            order in archive.namelist()
            and archive.read(_entry(path, archive, order, 16)) != b"little"
        ):
            raise CheckpointError(
                f"{path} was written on a big-endian machine, which is not supported"
            )
        return _Reader(path, archive, f"{root}/data").tensors(dict(_tensors(held)))


def _root(path: Path, archive: zipfile.ZipFile) -> str:
    roots = [
        name.removesuffix("/data.pkl") for name in archive.namelist() if name.endswith("/data.pkl")
    ]
    if len(roots) != 1:
        raise CheckpointError(f"{path} is a zip file, but was not written by torch")
    return roots[0]


def _entry(path: Path, archive: zipfile.ZipFile, name: str, largest: int) -> zipfile.ZipInfo:
    """Return an entry, refusing compressed ones: torch writes none, and they may be bombs."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise CheckpointError(f"{path} lacks the entry {name!r}") from error
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise CheckpointError(f"{path} holds {name!r} compressed, which torch never does")
    if info.file_size > min(largest, path.stat().st_size):
        raise CheckpointError(f"{path} claims {info.file_size:,} bytes for {name!r}")
    return info


def _unpickle(path: Path, file: IO[bytes]) -> object:
    check_pickle(file, path, _MAX_PICKLE_BYTES)
    file.seek(0)
    try:
        return TensorUnpickler(file, _storage, _stored_tensor).load()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors: {_first_line(error)}"
        ) from error


def _storage(kind: str, key: object) -> Storage:
    return Storage(kind, str(key))


def _stored_tensor(
    storage: Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> StoredTensor:
    numbers = (offset, *shape, *strides)
    if len(shape) != len(strides) or any(type(n) is not int or n < 0 for n in numbers):
        raise CheckpointError(
            f"a tensor has the shape {shape} with the strides {strides} at {offset}"
        )
    return StoredTensor(storage, offset, tuple(shape), tuple(strides))


class _Reader:
    """A reader of tensors from the entries of an archive."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, folder: str) -> None:
        self.path = path
        self.archive = archive
        self.folder = folder
        self.held: dict[Storage, Tensor] = {}

    def tensors(self, stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        claimed = sum(math.prod(t.shape) * self._dtype(t.storage).itemsize for t in stored.values())
        if claimed > self.path.stat().st_size:
            raise CheckpointError(f"{self.path} claims tensors larger than itself")
        return {name: self._tensor(name, tensor) for name, tensor in stored.items()}

    def _tensor(self, name: str, tensor: StoredTensor) -> Tensor:
        elements = self._elements(tensor.storage)
        last = tensor.offset + sum(
            (n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True)
        )
        if 0 not in tensor.shape and last >= len(elements):
            raise CheckpointError(f"{self.path} is truncated: {name} reaches beyond its storage")
        return elements.as_strided(tensor.shape, tensor.strides, tensor.offset)

    def _elements(self, storage: Storage) -> Tensor:
        """Return a storage as a flat tensor, read once."""
        if storage not in self.held:
            info = _entry(
                self.path, self.archive, f"{self.folder}/{storage.key}", self.path.stat().st_size
            )
            data, dtype = bytearray(self.archive.read(info)), self._dtype(storage)
            whole = len(data) // dtype.itemsize
            self.held[storage] = (
                torch.frombuffer(data, dtype=dtype, count=whole)
                if whole
                else torch.empty(0, dtype=dtype)
            )
        return self.held[storage]

    def _dtype(self, storage: Storage) -> torch.dtype:
        try:
            return _DTYPES[storage.kind]
        except KeyError as error:
            raise CheckpointError(
                f"{self.path} holds a {storage.kind}, which CLIP does not use"
            ) from error


# --- the contents of a pickle as one flat dict ---


def _tensors(held: object) -> Iterator[tuple[str, Any]]:
    """Yield every tensor in dicts and modules by its dotted name, visiting each dict once."""
    if isinstance(held, Mapping):
        held = next((held[key] for key in _WRAPPERS if isinstance(held.get(key), Mapping)), held)
    yield from _walk(held, "", set(), 0)


def _walk(held: object, prefix: str, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(held, Tensor | StoredTensor):
        yield prefix.removesuffix("."), held
        return
    attributes = (
        held if isinstance(held, Mapping | OrderedDict) else getattr(held, "attributes", None)
    )
    if not isinstance(attributes, Mapping) or id(attributes) in seen or depth > _MAX_DEPTH:
        return
    seen.add(id(attributes))
    for name, value in attributes.items():
        yield from _walk(value, f"{prefix}{name}.", seen, depth + 1)
