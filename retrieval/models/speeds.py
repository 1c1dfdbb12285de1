"""How many images a second a model took on this machine."""

import json
import os

from clipmodel import pretrained

LEAST_MEASURED = 100  # pictures; a shorter run measures its start
_SPEEDS = "speeds.json"  # in the folder of models: images a second, by the digest of the weights


def speeds() -> dict[str, float]:
    """Return images a second of the last long index run with each model, by digest."""
    try:
        held = json.loads((pretrained.models_folder() / _SPEEDS).read_text("utf-8"))
        return {str(digest): float(rate) for digest, rate in held.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember_speed(digest: str, encoded: int, seconds: float) -> None:
    """Note how quick an index run was, decoding included, unless it was short."""
    if encoded < LEAST_MEASURED or not seconds:
        return
    held = speeds() | {digest: round(encoded / seconds, 1)}
    folder = pretrained.models_folder()
    part = folder / f"{_SPEEDS}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(held), "utf-8")
        part.replace(folder / _SPEEDS)
    except OSError:  # a note, of no use to this run
        return
