"""The tensors of a safetensors file, for torch."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Mapped where that can be. Raises OSError, SafetensorError, and for hostile files others."""
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        data = path.read_bytes()  # what the system says of it; the library tells another reason
        return load(data)
