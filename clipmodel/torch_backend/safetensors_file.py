"""The tensors of a safetensors file, for torch."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Map a file, or read it. Raises OSError, SafetensorError, and others for hostile files."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        data = path.read_bytes()  # to raise the system's own reason, which the library hides
        return load(data)
