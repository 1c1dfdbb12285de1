"""The models that have a name: a table for people, an array of objects for programs."""

import os
from collections.abc import Sequence
from typing import Any

from retrieval.models.known import KnownModel
from retrieval.output.text import printable

NOTE = (
    "Flickr, COCO: how often a caption’s own picture comes first (R@1), as published.\n"
    "images/s: the last index run of at least 100 pictures on this machine.\n"
    "Any other model: --model hf:ORG/NAME, open_clip:ARCH/TAG, or the path of a checkpoint.\n"
)
_HEADS = ("name", "family", "fetch", "pixels", "dims", "languages", "licence")
_FIGURES = ("Flickr", "COCO", "images/s", "weights")
_RIGHT = {"fetch", "pixels", "dims", "Flickr", "COCO", "images/s"}  # columns of numbers


def of_models(models: Sequence[KnownModel]) -> str:
    """Return aligned lines, and what their columns mean."""
    heads = (*_HEADS, *_FIGURES)
    rows = [heads, *(_row(model) for model in models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = ("  ".join(map(_aligned, row, heads, widths)) for row in rows)
    return "".join(f"{line.rstrip()}\n" for line in lines) + f"\n{NOTE}"


def _aligned(cell: str, head: str, width: int) -> str:
    return f"{cell:>{width}}" if head in _RIGHT else f"{cell:<{width}}"


def _row(model: KnownModel) -> tuple[str, ...]:
    is_here = model.state in ("bundled", "cached")
    return (
        printable(os.fspath(model.name)),
        model.family or "-",
        _size(model.bytes) if model.bytes and not is_here else "-",
        str(model.image_size or "-"),
        str(model.dim or "-"),
        model.languages or "-",
        _licence(model) if model.family else "-",
        f"{model.flickr:.3f}" if model.flickr else "-",
        f"{model.coco:.3f}" if model.coco else "-",
        f"{model.speed:.0f}" if model.speed else "-",
        model.state + _marks(model),
    )


def _licence(model: KnownModel) -> str:
    if model.licence is None:
        return "see its card"
    kept = " (non-commercial)" if model.commercial is False else ""
    return model.licence.removesuffix(" only") + kept


def _size(bytes: int) -> str:
    return f"{bytes / 1e9:.1f} GB" if bytes >= 1e9 else f"{bytes / 1e6:.0f} MB"


def _marks(model: KnownModel) -> str:
    marks = [("this library's", model.is_current), ("the default", model.is_default)]
    said = ", ".join(mark for mark, holds in marks if holds)
    return f" ({said})" if said else ""


def model_object(model: KnownModel) -> dict[str, Any]:
    """Return a model. `recall` is R@1 of pictures by text, as published; null: not published."""
    return {
        "name": model.name,
        "family": model.family,
        "state": model.state,
        "default": model.is_default,
        "current": model.is_current,
        "fetch_bytes": model.bytes,
        "image_size": model.image_size,
        "dimensions": model.dim,
        "languages": model.languages,
        "licence": model.licence,
        "commercial_use": model.commercial,
        "recall": {"flickr30k": model.flickr, "coco": model.coco},
        "images_per_second": model.speed,
    }
