"""JSON forms: one for each noun, for both the command line and the server.

The server only adds keys of its own around them (pages, rights); schemas.py describes them to
OpenAPI.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.decoding.kinds.names import phrase
from retrieval.models.choice import better_than
from retrieval.records import Failed, Image, LeftOut, Match, Moment, Shot, Wording
from retrieval.search.relevance import strength

if TYPE_CHECKING:
    from retrieval.catalog.browse import Facets
    from retrieval.collection.duplicates import Group
    from retrieval.collection.status import Status
    from retrieval.models.devices import KnownDevice
    from retrieval.search.tags import Tagged

Form = dict[str, Any]

DIGITS = 6  # decimal places of a score; float32 has no more


# -- pictures ------------------------------------------------------------------------------------


def match_object(match: Match) -> Form:
    """Return a match. `taken_from` says where `date` comes from; if `taken_at` is null, it is the
    file's date. `companions`: the files that belong to it, such as a raw file or a sidecar.
    `moment`: the best one of a video, in seconds, or of several frames or pages; `moments`: all
    that match.
    """
    relevance, score = match.relevance, match.score
    return _picture(match.image, match.path, score, relevance, match.companions, match.moments)


def listed_object(
    image: Image, path: Path, companions: Sequence[Path] = (), moments: Sequence[Moment] = ()
) -> Form:
    """Return a picture in the form of a match, without a score. moments: all of them."""
    return _picture(image, path, None, None, companions, moments)


def details_object(
    image: Image,
    path: Path,
    size: int | None,
    exists: bool,
    companions: Sequence[Path] = (),
    wordings: Sequence[Wording] = (),
    moments: Sequence[Moment] = (),
) -> Form:
    """Return a picture with all its details. `size` is in bytes."""
    shot = image.shot or Shot()

    def said(*kinds: str) -> list[str]:
        return [each.text for each in wordings if each.kind in kinds]

    return listed_object(image, path, companions, moments) | {
        "modified_at": image.modified_at.isoformat() if image.modified_at else None,
        "size": size,
        "camera": shot.camera,
        "lens": shot.lens,
        "latitude": shot.latitude,
        "longitude": shot.longitude,
        "exposure": shot.exposure,
        "aperture": shot.aperture,
        "iso": shot.iso,
        "focal_length": shot.focal_length,
        "rating": image.rating,
        "descriptions": said("title", "caption"),
        "keywords": said("keyword"),
        "people": said("person"),
        "exists": exists,
    }


def group_object(group: "Group", sizes: Mapping[int, int]) -> Form:
    """Return a group of copies: the file to keep, and the others with what they have in common.

    sizes: bytes of each image's file, by image id.
    """
    keep = _file(group.kept, sizes) | {"score": None, "by": None}
    others = [
        _file(other, sizes) | {"score": round(other.score, DIGITS), "by": group.by(other)}
        for other in group.others
    ]
    return {"keep": keep, "others": others}


def tagged_object(tagged: "Tagged") -> Form:
    """Return a picture with the probability of each label."""
    labels = {label: round(likely, DIGITS) for label, likely in tagged.labels.items()}
    return {"path": os.fspath(tagged.path), "labels": labels}


def _picture(
    image: Image,
    path: Path,
    score: float | None,
    relevance: float | None,
    companions: Sequence[Path],
    moments: Sequence[Moment],
) -> Form:
    best = moments[0] if moments else None
    return {
        "id": image.id,
        "path": os.fspath(path),
        "name": path.name,
        "score": None if score is None else round(score, DIGITS),
        "relevance": None if relevance is None else round(relevance, DIGITS),
        "strength": None if relevance is None else strength(relevance),
        "width": image.width,
        "height": image.height,
        "format": image.format,
        "taken_at": image.taken_at.isoformat() if image.taken_at else None,
        "date": image.date.isoformat(),
        "taken_from": image.taken_from if image.taken_at else "file",
        "copies": [os.fspath(copy) for copy in image.paths if copy != path],
        "companions": [os.fspath(each) for each in companions],
        "truncated": image.is_truncated,
        "duration": image.duration,
        "moment": best.position if best else None,
        "unit": best.unit if best else None,
        "moments": [moment._asdict() for moment in moments],
    }


def _file(match: Match, sizes: Mapping[int, int]) -> Form:
    image = match.image
    return {
        "id": image.id,
        "path": os.fspath(match.path),
        "name": match.path.name,
        "width": image.width,
        "height": image.height,
        "size": sizes.get(image.id),
        "date": image.date.isoformat(),
    }


# -- the library ---------------------------------------------------------------------------------


def status_object(status: "Status") -> Form:
    """Return the contents of a library. `bytes` is its total size on disk."""
    model, index, counts = status.model, status.index, status.counts
    return {
        "library": status.where,
        "model": model.name if model else None,
        "dim": model.dim if model else None,
        "precision": model.precision if model else None,
        "better_model": better_than(model.name) if model else None,
        "files": counts.files,
        "images": counts.images,
        "embedded": counts.embedded,
        "failures": counts.failures,
        "companions": status.companions,
        "left_out": [left_out_object(each) for each in status.left_out],
        "index": index.kind if index else None,
        "indexed": index.vectors if index else 0,
        "bytes": status.bytes,
        "indexing": status.underway._asdict() if status.underway else None,
        "other_models": [
            {
                "model": other.name,
                "embedded": other.embedded,
                "bytes": other.bytes,
                "keeps_up": other.keeps_up,
            }
            for other in status.others
        ],
        "roots": [
            {
                "path": os.fspath(root.path),
                "files": root.files,
                "entire": root.is_entire,
                "present": root.is_present,
                "excluded": list(root.excluded),
                "left_out": [left_out_object(each) for each in root.left_out],
            }
            for root in status.roots
        ],
    }


def left_out_object(left: LeftOut) -> Form:
    """Return the number of files, or folders, of one kind that the last run left out."""
    said = {"kind": left.kind, "extension": left.extension or None, "count": left.count}
    return said | {"text": phrase(left)}


def failure_object(failed: Failed) -> Form:
    """Return a file that could not be read, and why."""
    return {"path": os.fspath(failed.path), "reason": failed.reason, "code": failed.code.value}


def device_object(device: "KnownDevice") -> Form:
    """Return a device, and its `reason` and `remedy` if it cannot be used."""
    return asdict(device)


def folder_object(folder: Path, files: int) -> Form:
    """Return a folder with the number of pictures in or below it."""
    return {"path": os.fspath(folder), "files": files}


def facets_object(facets: "Facets") -> Form:
    """Return the values that filters can take, each with its number of images."""

    def counted(values: Sequence[tuple[str, int]]) -> list[Form]:
        return [{"name": name, "images": images} for name, images in values]

    return {
        "cameras": counted(facets.cameras),
        "formats": counted(facets.formats),
        "first": facets.first,
        "last": facets.last,
    }


# -- bytes ---------------------------------------------------------------------------------------


def as_json(matches: Sequence[Match]) -> bytes:
    """Write matches as a JSON array, one object per line, always in UTF-8."""
    return json_array([match_object(match) for match in matches])


def json_array(objects: Sequence[Form]) -> bytes:
    """Write a JSON array, one object per line."""
    return b"[" + b",\n ".join(map(json_object, objects)) + b"]\n"


def json_object(held: Form) -> bytes:
    """Write an object as JSON in UTF-8, without a newline."""
    # UTF-8 cannot encode lone surrogates; Python's escape for them is also JSON's.
    return json.dumps(held, ensure_ascii=False).encode("utf-8", "backslashreplace")
