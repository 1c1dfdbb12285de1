"""Values from other people's JSON files: of the right type, or a CheckpointError."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipmodel.errors import CheckpointError, cannot_read

Triple = tuple[float, float, float]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises CheckpointError for anything else."""
    held = _read(path)
    if not isinstance(held, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return held


def read_list(path: Path) -> list[Any]:
    """Read a JSON array. Raises CheckpointError for anything else."""
    held = _read(path)
    if not isinstance(held, list):
        raise CheckpointError(f"{path} is not a JSON array")
    return held


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise cannot_read(path, error) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def part(path: Path, held: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the object under a key, empty where there is none."""
    value = held.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: {key} is not an object")
    return value


def whole(path: Path, key: str, value: object) -> int | None:
    """Return a whole number of at least 1, or None where there is none."""
    if value is not None and (type(value) is not int or value < 1):
        raise CheckpointError(f"{path}: {key} is {value!r}, not a whole number of at least 1")
    return value


def triple(path: Path, key: str, value: object) -> Triple | None:
    """Return three numbers, or None where there are none."""
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or len(value) != 3
        or not all(type(n) in (int, float) for n in value)
    ):
        raise CheckpointError(f"{path}: {key} is {value!r}, not three numbers")
    return (float(value[0]), float(value[1]), float(value[2]))


def square(path: Path, key: str, size: object) -> int | None:
    """Return the side of a square, written as one number or two; None where there is none."""
    if isinstance(size, dict) and set(size) == {"height", "width"}:
        size = [size["height"], size["width"]]
    if isinstance(size, list) and len(size) == 2 and size[0] == size[1]:
        size = size[0]
    if isinstance(size, dict | list):
        raise CheckpointError(f"layout not supported: {path} sets {key} = {size!r}")
    return whole(path, key, size)
