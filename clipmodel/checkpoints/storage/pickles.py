"""The pickles inside torch's archives, read without running anything they name.

A pickle is a program that may call whatever it can import. Here it can import a few names, each of
which stands for something harmless: a tensor becomes a note of where it is stored, a TorchScript
module a holder of its attributes.
"""

import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from clipmodel.errors import CheckpointError

_MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}
_NEVER = {
    "INST",
    "OBJ",
    "EXT1",
    "EXT2",
    "EXT4",
    "STACK_GLOBAL",
    "NEXT_BUFFER",
    "READONLY_BUFFER",
    "PERSID",
}


def check_pickle(file: IO[bytes], path: Path, largest: int) -> None:
    """Walk over one pickle without executing it, and leave the file at its end.

    Refuses what torch never writes: five bytes can ask for a table of 2³² entries, or for
    `bytearray(10**12)`.
    """
    start, most = file.tell(), 0
    try:
        for opcode, argument, place in pickletools.genops(file):
            size = (place or 0) - start
            if opcode.name in _MEMO:
                most = max(most, int(argument or 0))
            if opcode.name in _NEVER or most > max(size, 256) or size > largest:
                raise CheckpointError(
                    f"{path} holds a pickle that torch did not write ({opcode.name})"
                )
            if opcode.name == "GLOBAL" and str(argument).split(" ")[-1] in ("bytearray", "bytes"):
                raise CheckpointError(
                    f"{path} holds a pickle that torch did not write ({argument})"
                )
    except (ValueError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


class ScriptModule:
    """The attributes of a TorchScript module: tensors, and further modules."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.attributes = state


class TensorUnpickler(pickle.Unpickler):
    """An unpickler of dicts, lists, numbers, strings, tensors and TorchScript modules alone."""

    def __init__(
        self,
        file: IO[bytes],
        storage: Callable[[str, object], Any],
        tensor: Callable[[Any, int, tuple[int, ...], tuple[int, ...]], Any],
    ) -> None:
        """Read from `file`.

        storage: from kind and key to what represents a storage. tensor: from such a storage,
        offset, shape and strides to what represents a tensor.
        """
        super().__init__(file)
        self.storage = storage
        self.tensor = tensor

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for an imported name. Raises CheckpointError for any other."""
        if module == "__torch__" or module.startswith("__torch__."):
            return ScriptModule
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            return _StorageKind(name)
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_parameter"): _first,
            ("torch", "Size"): _list,
            ("torch.jit._pickle", "build_intlist"): _list,
            ("torch.jit._pickle", "build_tensorlist"): _list,
            ("torch.jit._pickle", "build_doublelist"): _list,
            ("torch.jit._pickle", "build_boollist"): _list,
            ("torch.jit._pickle", "restore_type_tag"): _first,
        }
        if (module, name) not in known:
            raise CheckpointError(
                f"it asks for {module}.{name}, which is not a tensor; nothing in it was run"
            )
        return known[module, name]

    def persistent_load(self, saved: Any) -> Any:
        """Resolve a reference to a storage. saved: ("storage", kind, key, device, elements)."""
        match saved:
            case ("storage", _StorageKind(name=kind), str() as key, *_):
                return self.storage(kind, key)
        raise CheckpointError("it refers to something that is not a storage")

    def _tensor(
        self,
        storage: Any,
        offset: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
        *_: object,
    ) -> Any:
        return self.tensor(storage, offset, shape, strides)


class _StorageKind:
    def __init__(self, name: str) -> None:
        self.name = name


def _first(first: object, *_: object) -> object:
    return first


def _list(items: object = (), *_: object) -> list[object]:
    return list(items) if isinstance(items, list | tuple) else []
