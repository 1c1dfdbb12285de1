"""One JSON form for each noun, for the command line and the server alike."""

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrieval.records import Failed, Match

if TYPE_CHECKING:
    from retrieval.collection.duplicates import Group
    from retrieval.collection.status import Status
    from retrieval.search.tags import Tagged


def status_object(status: "Status") -> dict[str, Any]:
    model, index = status.model, status.index
    return {
        "library": os.fspath(status.folder),
        "model": model.name if model else None,
        "dim": model.dim if model else None,
        "precision": model.precision if model else None,
        "files": status.counts.files,
        "images": status.counts.images,
        "embedded": status.counts.embedded,
        "failures": status.counts.failures,
        "index": index.kind if index else None,
        "indexed": index.vectors if index else 0,
        "bytes": status.bytes,
        "indexing": status.underway._asdict() if status.underway else None,
        "other_models": [
            {"model": other.name, "embedded": other.embedded, "bytes": other.bytes}
            for other in status.others
        ],
        "roots": [
            {
                "path": os.fspath(root.path),
                "files": root.files,
                "present": root.is_present,
                "excluded": list(root.excluded),
            }
            for root in status.roots
        ],
    }


def failure_object(failed: Failed) -> dict[str, Any]:
    path = os.fspath(failed.path)
    return {"path": path, "reason": failed.reason, "code": failed.code.value}


def group_object(group: "Group") -> dict[str, Any]:
    others = [
        {
            "path": os.fspath(other.path),
            "score": round(other.score, DIGITS),
            "same": group.is_exact(other),
            "by": group.by(other),
        }
        for other in group.others
    ]
    return {"keep": os.fspath(group.kept.path), "others": others}


def tagged_object(tagged: "Tagged") -> dict[str, Any]:
    labels = {label: round(share, DIGITS) for label, share in tagged.labels.items()}
    return {"path": os.fspath(tagged.path), "labels": labels}


DIGITS = 6  # of a score in JSON; float32 holds no more


def as_json(matches: Sequence[Match]) -> bytes:
    """One array, an object a line, in UTF-8 wherever it goes."""
    return json_array([match_object(match) for match in matches])


def json_array(objects: Sequence[dict[str, Any]]) -> bytes:
    return b"[" + b",\n ".join(map(json_object, objects)) + b"]\n"


def json_object(held: dict[str, Any]) -> bytes:
    # What UTF-8 cannot hold are lone surrogates, and Python's escape for them is JSON's as well.
    return json.dumps(held, ensure_ascii=False).encode("utf-8", "backslashreplace")


def match_object(match: Match) -> dict[str, Any]:
    image = match.image
    return {
        "id": image.id,
        "path": os.fspath(match.path),
        "score": round(match.score, DIGITS),
        "relevance": None if match.relevance is None else round(match.relevance, DIGITS),
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "taken_at": image.taken_at.isoformat() if image.taken_at else None,
        "copies": [os.fspath(path) for path in image.paths if path != match.path],
    }
