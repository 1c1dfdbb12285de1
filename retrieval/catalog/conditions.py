"""Conditions as SQL over the tables `images` and `shots`, and paths as ranges of bytes.

SQLite and PostgreSQL both understand everything except `kilometres`, which is added to each
connection, as not every SQLite was built with a sine.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from retrieval.filters import (
    AtLeast,
    CameraHas,
    Condition,
    Dated,
    FormatIn,
    Shaped,
    Within,
)

EARTH_KM = 6371.0  # mean radius
DEGREE_KM = EARTH_KM * math.pi / 180  # one degree of latitude
MAX_WORD_LENGTH = 10_000  # characters; SQLite accepts patterns of up to 50,000 bytes
Statement = tuple[str, tuple[Any, ...]]  # SQL over `images` and `shots`, and its parameters


def in_sql(conditions: Sequence[Condition]) -> Statement:
    """Render conditions that all have to hold."""
    parts = [_in_sql(condition) for condition in conditions]
    parameters = tuple(value for _, values in parts for value in values)
    return " AND ".join(f"({part})" for part, _ in parts) or "TRUE", parameters


def _in_sql(condition: Condition) -> Statement:
    match condition:
        case Dated(sign, moment):
            oldest = "(SELECT min(mtime_ns) FROM files WHERE files.image_id = images.id)"
            # ISO 8601 sorts as text; a comparison with NULL is NULL.
            compared = f"coalesce(taken_at {sign} ?, {oldest} {sign} ?)"
            return compared, (moment.isoformat(), condition.modified_ns)
        case CameraHas(word):
            return holds("lower(camera)", word)
        case Within(north, east, km):  # latitude is compared first
            within = "abs(latitude - ?) <= ? AND kilometres(latitude, longitude, ?, ?) <= ?"
            return within, (north, km / DEGREE_KM + 1e-9, north, east, km)
        case AtLeast(width, height):
            return "width >= ? AND height >= ?", (width, height)
        case FormatIn(names):
            return f"upper(format) IN ({','.join('?' * len(names))})", names
        case Shaped(sign):
            return f"width {sign} height", ()


def kilometres(north: float, east: float, other_north: float, other_east: float) -> float:
    """Return the great-circle distance in km (haversine) of two points given in degrees."""
    a, b = math.radians(north), math.radians(other_north)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_east - east) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def holds(text: str, word: str) -> Statement:
    """Return the condition that an SQL expression contains this word, which may be any text."""
    if len(word) > MAX_WORD_LENGTH or "\0" in word:  # SQLite ends a pattern at NUL
        return f"{text} = '' AND 1 = 0", ()  # `text` may have parameters, so it has to appear
    escaped = re.sub(r"([%_\\])", r"\\\1", word)
    return f"{text} LIKE ? ESCAPE '\\'", (f"%{escaped}%",)


def under(inside: bytes) -> tuple[str, tuple[bytes, ...]]:
    """Return the SQL condition, and its parameters, for the files at or under a relative path.

    A range of bytes, not LIKE: names need not be text, and may contain % and _.
    """
    if not inside:
        return "TRUE", ()
    return "(path = ? OR (path >= ? AND path < ?))", (inside, inside + b"/", inside + b"0")
