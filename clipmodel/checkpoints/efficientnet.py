"""EfficientNet-Lite as efficientnet-lite-pytorch stores it -> our image tower."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from clipmodel.checkpoints.storage.torch_zip import load_tensors
from clipmodel.errors import CheckpointError

_TOP = {
    "_conv_stem": "stem.conv",
    "_bn0": "stem.bn",
    "_conv_head": "last.conv",
    "_bn1": "last.bn",
}
_BLOCK = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}
_CLASSIFIER = "_fc."


def read_efficientnet(file: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Read a classifier's checkpoint. Raises CheckpointError.

    Returns the tower's weights without the projection, under names without `visual.`; and the
    classifier's `weight` and `bias`.
    """
    tensors = load_tensors(file)
    classifier = {
        name.removeprefix(_CLASSIFIER): tensor
        for name, tensor in tensors.items()
        if name.startswith(_CLASSIFIER)
    }
    return weights_of_efficientnet(tensors), classifier


def weights_of_efficientnet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate the names, leaving out the classifier. Raises CheckpointError for unknown ones."""
    return {
        _our_name(name): tensor
        for name, tensor in tensors.items()
        if not name.startswith(_CLASSIFIER)
    }


def _our_name(name: str) -> str:
    module, _, kind = name.rpartition(".")
    top, _, rest = module.partition(".")
    if module in _TOP:
        return f"{_TOP[module]}.{kind}"
    number, _, part = rest.partition(".")
    if top == "_blocks" and part in _BLOCK:
        return f"blocks.{number}.{_BLOCK[part]}.{kind}"
    raise CheckpointError(f"layout not supported: EfficientNet-Lite has no weights {name}")
