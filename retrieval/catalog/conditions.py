"""`Filters` as SQL over the tables `images` and `shots`, and paths as ranges of bytes.

SQLite and PostgreSQL both understand everything except `kilometres`, which is added to each
connection, as not every SQLite was built with a sine.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from retrieval.decoding.formats import names_meant
from retrieval.errors import InvalidQuery
from retrieval.filters import MAX_CAMERA_WORDS, Filters, Moment, first_moment

EARTH_KM = 6371.0  # mean radius
DEGREE_KM = EARTH_KM * math.pi / 180  # one degree of latitude
LAST_SECOND = 9_223_372_036  # the last that fits 64 bits of nanoseconds, as SQLite stores: in 2262
MAX_WORD_LENGTH = 10_000  # characters; SQLite accepts patterns of up to 50,000 bytes
Condition = tuple[str, tuple[Any, ...]]  # SQL over `images` and `shots`, and its parameters
SHAPES = {"landscape": "width > height", "portrait": "width < height", "square": "width = height"}


def condition_of(filters: Filters) -> Condition | None:
    """Render all filters except the folder; None if there are no others."""
    parts = [
        *([_since(filters.after, ">=")] if filters.after is not None else ()),
        *([_since(filters.before, "<")] if filters.before is not None else ()),
        *(_camera(filters.camera) if filters.camera is not None else ()),
        *([_near(*filters.near)] if filters.near is not None else ()),
        *([("width >= ? AND height >= ?", filters.min_size)] if filters.min_size else ()),
        *([_format(filters.format)] if filters.format is not None else ()),
        *([(SHAPES[filters.orientation], ())] if filters.orientation is not None else ()),
    ]
    if not parts:
        return None
    parameters = tuple(value for _, values in parts for value in values)
    return " AND ".join(f"({part})" for part, _ in parts), parameters


def kilometres(north: float, east: float, other_north: float, other_east: float) -> float:
    """Return the great-circle distance in km (haversine) of two points given in degrees."""
    a, b = math.radians(north), math.radians(other_north)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_east - east) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def _since(given: Moment, sign: str) -> Condition:
    moment = first_moment(given)
    try:
        seconds = int(moment.timestamp())
    except (OverflowError, OSError, ValueError):  # a year beyond this machine's clock
        seconds = LAST_SECOND if moment.year > 1970 else -LAST_SECOND
    ns = max(-LAST_SECOND, min(seconds, LAST_SECOND)) * 1_000_000_000
    oldest = "(SELECT min(mtime_ns) FROM files WHERE files.image_id = images.id)"
    # ISO 8601 sorts as text; a comparison with NULL is NULL.
    return f"coalesce(taken_at {sign} ?, {oldest} {sign} ?)", (moment.isoformat(), ns)


def _camera(words: str) -> Sequence[Condition]:
    if not words.strip():
        raise InvalidQuery("the camera is empty; give a word of its name")
    words = words.encode("utf-8", "replace").decode("utf-8")  # SQLite rejects lone surrogates
    if len(each := words.lower().split()) > MAX_CAMERA_WORDS:
        raise InvalidQuery(f"the camera has {len(each):,} words; give at most {MAX_CAMERA_WORDS}")
    return [holds("lower(camera)", word) for word in each]


def holds(text: str, word: str) -> Condition:
    """Return the condition that an SQL expression contains this word, which may be any text."""
    if len(word) > MAX_WORD_LENGTH or "\0" in word:  # SQLite ends a pattern at NUL
        return f"{text} = '' AND 1 = 0", ()  # `text` may have parameters, so it has to appear
    escaped = re.sub(r"([%_\\])", r"\\\1", word)
    return f"{text} LIKE ? ESCAPE '\\'", (f"%{escaped}%",)


def _near(north: float, east: float, km: float) -> Condition:
    """Return the condition that an image was taken within `km`; latitude is compared first."""
    within = "abs(latitude - ?) <= ? AND kilometres(latitude, longitude, ?, ?) <= ?"
    return within, (north, km / DEGREE_KM + 1e-9, north, east, km)


def _format(name: str) -> Condition:
    names = names_meant(name)
    return f"upper(format) IN ({','.join('?' * len(names))})", names


def under(inside: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Return the SQL condition, and its parameters, for the files at or under a relative path.

    A range of bytes, not LIKE: names need not be text, and may contain % and _.
    """
    if not inside:
        return "TRUE", ()
    return "(path = ? OR (path >= ? AND path < ?))", (inside, inside + b"/", inside + b"0")
