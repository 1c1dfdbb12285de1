"""The check that a model was trained with the tokens of tokenizer.py: other ids are other words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmodel.checkpoints.json_values import part, read_json
from clipmodel.config import TextTowerConfig
from clipmodel.errors import CheckpointError
from clipmodel.tokenizer import vocabulary


def collect(config: TextTowerConfig, beside: Mapping[str, Path]) -> dict[str, bytes]:
    """Compare CLIP's vocabulary with a model's, and with a tokenizer's files beside its weights.

    beside: as `files.beside_of` names them. Returns no files, as this package has CLIP's. Raises
    CheckpointError.
    """
    ours = vocabulary()
    if config.vocab_size != len(ours):
        raise CheckpointError(
            f"layout not supported: its vocabulary has {config.vocab_size:,} tokens, not the "
            f"{len(ours):,} of CLIP's tokenizer"
        )
    for file, held in _written(beside):
        if held != ours:
            raise CheckpointError(f"layout not supported: {file} is not CLIP's vocabulary")
    return {}


def _written(beside: Mapping[str, Path]) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return the vocabularies beside the weights, token -> id."""
    found: list[tuple[Path, Mapping[str, Any]]] = []
    if (file := beside["vocabulary"]).is_file():
        found.append((file, read_json(file)))
    if (file := beside["tokenizer"]).is_file():
        held = read_json(file)
        added = held.get("added_tokens") or []
        if not isinstance(added, list) or not all(isinstance(each, dict) for each in added):
            raise CheckpointError(f"{file}: added_tokens is not a list of objects")
        known = part(file, part(file, held, "model"), "vocab")
        found.append((file, known | {each.get("content"): each.get("id") for each in added}))
    return found
