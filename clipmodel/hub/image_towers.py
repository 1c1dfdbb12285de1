"""Repositories on the hub that hold a text tower alone, and the models whose pictures fit them.

Sources, read on 2026-11-27: the list of models in Multilingual-CLIP's README, and the card of
sentence-transformers' model.
"""

import json
from collections.abc import Collection
from pathlib import Path

from clipmodel.checkpoints.files import IMAGE_TOWER

IMAGE_TOWERS = {
    "M-CLIP/XLM-Roberta-Large-Vit-B-32": "ViT-B/32",
    "M-CLIP/XLM-Roberta-Large-Vit-L-14": "ViT-L/14",
    "sentence-transformers/clip-ViT-B-32-multilingual-v1": "ViT-B/32",
}
_MODULES = ("_Pooling/config.json", "_Dense/config.json")  # after their numbers
_DENSE = ("_Dense/model.safetensors", "_Dense/pytorch_model.bin")  # the safer first


def files_of_modules(source: str, files: Collection[str]) -> list[str]:
    """Return the files of the modules after a text tower among those of a repository."""
    if source not in IMAGE_TOWERS:
        return []
    weights = (sorted(file for file in files if file.endswith(ending)) for ending in _DENSE)
    described = sorted(file for file in files if file.endswith(_MODULES))
    return [*described, *next((found for found in weights if found), [])]


def name_image_tower(source: str, weights: Path) -> None:
    """Write the file beside the weights that names the image tower, if it is known."""
    if (tower := IMAGE_TOWERS.get(source)) is not None:
        note = weights.with_name(f"{weights.name}.json")
        note.write_text(json.dumps({IMAGE_TOWER: tower}), encoding="utf-8")
