"""What lies beside a member of a shard under the same key: its caption, and facts.

webdataset's habit: 000001.jpg, 000001.txt and 000001.json are one sample. img2dataset and
clip-retrieval write such shards; the names of the facts are theirs.
"""

import codecs
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from retrieval.decoding.metadata.dates import written
from retrieval.records import Facts, TextKind, Wording

SOURCE = "sample"
MAX_BYTES = 1_000_000  # of a .txt or .json
MAX_TEXT = 10_000  # characters
MAX_TEXTS = 100
CAPTIONS = ("caption", "captions", "txt", "text", "alt", "description")
NAMES: tuple[tuple[TextKind, tuple[str, ...]], ...] = (
    ("title", ("title",)),
    ("caption", CAPTIONS),
    ("keyword", ("keywords", "tags")),
    ("url", ("url",)),
)
DATES = ("EXIF DateTimeOriginal", "DateTimeOriginal")  # in what img2dataset keeps of the EXIF


def facts_of(
    text: bytes | None, record: bytes | None, row: Mapping[str, Any] | None = None
) -> Facts | None:
    """Return the facts of a .txt and a .json; None if they say nothing. Anything else than text
    and JSON says nothing. row: of a table, by lower-case names, for what they do not say.
    """
    held = _loaded(record)
    if not held and row:
        held = {name: value for name, value in row.items() if not text or name not in CAPTIONS}
    if text:
        held["txt"] = decoded(text)
    return facts_of_columns(held)


def decoded(text: bytes) -> str:
    """Decode what a mark at its start says, else UTF-8, else Latin-1."""
    is_wide = text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return text.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _loaded(record: bytes | None) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        loaded = json.loads(decoded(record)) if record else {}
        if isinstance(loaded, dict):
            return {str(name).lower(): value for name, value in loaded.items()}
    return {}


def facts_of_columns(held: Mapping[str, Any]) -> Facts | None:
    """Return the facts of a table's row, by the lower-case names of its columns."""
    said = [
        Wording(kind, text, SOURCE)
        for kind, names in NAMES
        for name in names
        for text in _texts(held.get(name))
    ]
    moment = _moment(held.get("exif"))
    if not said and moment is None:
        return None
    wordings = tuple(dict.fromkeys(said[:MAX_TEXTS]))
    return Facts(moment, "original" if moment else "file", wordings=wordings)


def joined(own: Facts, beside: Facts | None) -> Facts:
    """Return the facts of a picture with those beside it, where it has none itself."""
    if beside is None:
        return own
    is_dated = own.taken_at is not None or beside.taken_at is None
    return Facts(
        own.taken_at if is_dated else beside.taken_at,
        own.taken_from if is_dated else beside.taken_from,
        own.latitude,
        own.longitude,
        own.rating,
        (*own.wordings, *beside.wordings),
    )


def _texts(value: object) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str) and (text := each.replace("\0", "").strip()):
            # JSON may have lone surrogates, which no database takes.
            yield text[:MAX_TEXT].encode("utf-8", "replace").decode("utf-8")


def _moment(exif: object) -> datetime | None:
    """Return the date in img2dataset's `exif`: a dictionary, or the JSON of one."""
    with suppress(ValueError, RecursionError):
        held = json.loads(exif) if isinstance(exif, str) else exif
        if isinstance(held, dict):
            return next((each for name in DATES if (each := written(held.get(name, "")))), None)
    return None
