"""Checkpoints of several files: an index names the file of each weight."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from clipmodel.checkpoints.files import shards_of
from clipmodel.checkpoints.storage.torch_zip import load_tensors
from clipmodel.errors import CheckpointError


def load_all(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a file, or of all files that an index names. Raises CheckpointError."""
    if path.suffix != ".json":
        return load_tensors(path)
    tensors = dict[str, Tensor]()
    for shard in shards_of(path):
        if not shard.is_file():
            raise CheckpointError(f"{path.parent} lacks {shard.name}, which {path.name} names")
        held = load_tensors(shard)
        if twice := held.keys() & tensors.keys():
            raise CheckpointError(f"two files hold {min(twice)}")
        tensors |= held
    return tensors
