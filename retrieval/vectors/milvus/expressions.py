"""Conditions as the filter expressions of Milvus, over the fields of a collection (entities.py)."""

import json
import re

from retrieval.catalog.selection import Selection
from retrieval.filters import (
    AtLeast,
    CameraHas,
    Condition,
    Dated,
    FormatIn,
    Shaped,
    Within,
)
from retrieval.vectors.milvus.entities import folder_key, microseconds

PLAIN = re.compile(r'[^%_\\"\x00-\x1f\x7f]+')  # a word that no pattern and no text has to escape
MAX_WORD_LENGTH = 1_000  # characters


def expression_of(selection: Selection) -> str | None:
    """Render a selection; None if it has something that Milvus cannot tell."""
    if selection.conditions is None:
        return None
    parts = [_expression(condition) for condition in selection.conditions]
    if selection.places is not None:
        keys = sorted({folder_key(*place) for place in selection.places})
        parts.append(f"array_contains_any(folders, {keys})")
    held = [part for part in parts if part is not None]
    return " and ".join(f"({part})" for part in held) if len(held) == len(parts) else None


def _expression(condition: Condition) -> str | None:
    match condition:
        case Dated(sign, moment):
            taken = f"taken {sign} {microseconds(moment)}"
            return f"{taken} or (taken is null and modified {sign} {condition.modified_ns})"
        case CameraHas(word):
            is_plain = len(word) <= MAX_WORD_LENGTH and PLAIN.fullmatch(word)
            return f'camera like "%{word}%"' if is_plain else None
        case Within():
            return None  # it knows no great circles
        case AtLeast(width, height):
            return f"width >= {int(width)} and height >= {int(height)}"
        case FormatIn(names):
            return f"format in {json.dumps(names, ensure_ascii=False)}"
        case Shaped(sign):
            return f"width {'==' if sign == '=' else sign} height"
