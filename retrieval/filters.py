"""`Filters`: which pictures may be found, whatever they look like; as one condition in SQL.

Dates are those on the clock at the place where a picture was taken, as its EXIF has them; where it
says nothing, the time of the oldest of its files, on this machine's clock.
"""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time
from typing import Any, Literal

from retrieval.errors import InvalidQuery

MAX_CAMERA_WORDS = 100  # SQLite takes a thousand conditions at most

EARTH_KM = 6371.0  # its mean radius
DEGREE_KM = EARTH_KM * math.pi / 180  # between two parallels

LAST_SECOND = 9_223_372_036  # of a file's time in nanoseconds, as SQLite holds it: in 2262

# What people call formats, where Pillow calls them otherwise. Phones write JPEGs as MPO.
FORMATS = {
    "JPEG": ("JPEG", "MPO"),
    "JPG": ("JPEG", "MPO"),
    "TIF": ("TIFF",),
    "HEIC": ("HEIF",),
    "JP2": ("JPEG2000",),
}
COMMON_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "HEIF", "AVIF", "BMP")
SHAPES = {"landscape": "width > height", "portrait": "width < height", "square": "width = height"}

Moment = str | date | datetime
Condition = tuple[str, tuple[Any, ...]]  # SQL over `images` and `shots`, and its parameters


@dataclass(frozen=True, slots=True)
class Filters:
    """What every match must fulfil; None for what does not matter. Raises InvalidQuery.

    Dates are partial as people give them, "2023" or "2023-06", or whole, or a date or datetime;
    `after` takes in its first moment, `before` ends ahead of it, so that after="2023",
    before="2024" is one year.
    """

    folder: str | os.PathLike[str] | None = None  # in or below it; a path, or the end of one
    after: Moment | None = None
    before: Moment | None = None
    camera: str | None = None  # words that are in the name of the camera or its maker
    near: tuple[float, float, float] | None = None  # degrees north, degrees east, kilometres
    min_size: tuple[int, int] | None = None  # pixels, width and height, as displayed
    format: str | None = None  # "jpeg", "png", "heic", ...
    orientation: Literal["landscape", "portrait", "square"] | None = None

    def __post_init__(self) -> None:
        if self.folder is not None and not os.fspath(self.folder):
            raise InvalidQuery("the folder is empty; give its path or its name")
        for each in (self.after, self.before):
            if each is not None:
                first_moment(each)
        if self.near is not None:
            _check_place(*self.near)
        if self.min_size is not None and min(self.min_size) < 0:
            raise InvalidQuery(f"a size is two numbers of pixels, not {self.min_size}")
        if self.format is not None:
            _check_format(self.format)
        if self.orientation is not None and self.orientation not in SHAPES:
            raise InvalidQuery(
                f"an orientation is one of {', '.join(SHAPES)}, not {self.orientation!r}"
            )

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def with_(self, other: "Filters") -> "Filters":
        """Both together. Raises InvalidQuery where they say two things of one."""
        said = {field.name: getattr(other, field.name) for field in fields(other)}
        said = {name: value for name, value in said.items() if value is not None}
        for name, value in said.items():
            if getattr(self, name) not in (None, value):
                raise InvalidQuery(f"the filter {NAMES[name]} is given twice")
        return replace(self, **said)

    def condition(self) -> Condition | None:
        """All of it but the folder; None where that says nothing."""
        parts = [
            *([_since(self.after, ">=")] if self.after is not None else ()),
            *([_since(self.before, "<")] if self.before is not None else ()),
            *(_camera(self.camera) if self.camera is not None else ()),
            *([_near(*self.near)] if self.near is not None else ()),
            *([("width >= ? AND height >= ?", self.min_size)] if self.min_size is not None else ()),
            *([_format(self.format)] if self.format is not None else ()),
            *([(SHAPES[self.orientation], ())] if self.orientation is not None else ()),
        ]
        if not parts:
            return None
        parameters = tuple(value for _, values in parts for value in values)
        return " AND ".join(f"({part})" for part, _ in parts), parameters


NAMES = {  # of the fields, in the query language and as options
    "folder": "in",
    "after": "after",
    "before": "before",
    "camera": "camera",
    "near": "near",
    "min_size": "min-size",
    "format": "format",
    "orientation": "orientation",
}
FIELDS = {name: field for field, name in NAMES.items()}


def written(name: str, value: str) -> Filters:
    """A filter as people write it, `name` being one of FIELDS. Raises InvalidQuery."""
    read: dict[str, Any] = {"near": _written_place, "min_size": _written_size}
    field = FIELDS[name]
    if field == "orientation":
        value = value.lower()
    return Filters(**{field: read.get(field, str)(value)})


def first_moment(given: Moment) -> datetime:
    """Of a year, a month, a day or a minute; without a zone. Raises InvalidQuery."""
    if isinstance(given, datetime):
        return given.replace(tzinfo=None)
    if isinstance(given, date):
        return datetime.combine(given, time())
    parts = re.fullmatch(
        r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?)?", given.strip()
    )
    try:
        if parts is None:
            raise ValueError("it is none of these forms")
        year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups())
        return datetime(year, month or 1, day or 1, hour, minute, second)
    except ValueError as error:
        raise InvalidQuery(
            f"{given!r} is no date ({error}); write 2023, 2023-06, 2023-06-01 or 2023-06-01T12:30"
        ) from error


def kilometres(north: float, east: float, other_north: float, other_east: float) -> float:
    """Along the great circle (haversine)."""
    a, b = math.radians(north), math.radians(other_north)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_east - east) / 2) ** 2
    return 2 * EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def _since(given: Moment, sign: str) -> Condition:
    moment = first_moment(given)
    try:
        seconds = int(moment.timestamp())
    except (OverflowError, OSError, ValueError):  # a year that this machine's clock does not know
        seconds = LAST_SECOND if moment.year > 1970 else -LAST_SECOND
    ns = max(-LAST_SECOND, min(seconds, LAST_SECOND)) * 1_000_000_000
    oldest = "(SELECT min(mtime_ns) FROM files WHERE files.image_id = images.id)"
    # ISO 8601 sorts as text; a comparison with NULL is NULL.
    return f"coalesce(taken_at {sign} ?, {oldest} {sign} ?)", (moment.isoformat(), ns)


def _camera(words: str) -> Sequence[Condition]:
    if not words.strip():
        raise InvalidQuery("the camera is empty; give a word of its name")
    words = words.encode("utf-8", "replace").decode("utf-8")  # SQLite takes no lone surrogates
    if len(each := words.lower().split()) > MAX_CAMERA_WORDS:
        raise InvalidQuery(f"the camera has {len(each):,} words; give at most {MAX_CAMERA_WORDS}")
    return [("instr(lower(camera), ?) > 0", (word,)) for word in each]


def _near(north: float, east: float, km: float) -> Condition:
    """Parallels bound it first; what lies between them is measured."""
    within = "abs(latitude - ?) <= ? AND kilometres(latitude, longitude, ?, ?) <= ?"
    return within, (north, km / DEGREE_KM + 1e-9, north, east, km)


def _format(name: str) -> Condition:
    name = _plain(name)
    names = FORMATS.get(name, (name,))
    return f"upper(format) IN ({','.join('?' * len(names))})", names


def _plain(format: str) -> str:
    return format.strip().lstrip(".").upper()


def _check_format(name: str) -> None:
    if _plain(name) in FORMATS or _plain(name) in COMMON_FORMATS:
        return
    from retrieval.decode import formats  # Pillow, which a search in words does without

    known = sorted({*FORMATS, *sum(FORMATS.values(), ()), *formats()})
    if _plain(name) not in known:
        import difflib

        near = difflib.get_close_matches(_plain(name), known, 1) or COMMON_FORMATS
        hint = f"did you mean {', '.join(near).lower()}?"
        raise InvalidQuery(f"{name!r} is not a known format; {hint}")


def _check_place(north: float, east: float, km: float) -> None:
    if not (-90 <= north <= 90 and -180 <= east <= 180 and 0 <= km < math.inf):
        raise InvalidQuery(
            f"{north:g},{east:g},{km:g} is no place; give degrees north (-90 to 90), "
            "degrees east (-180 to 180) and kilometres"
        )


def _written_place(text: str) -> tuple[float, float, float]:
    try:
        north, east, km = map(float, text.split(","))
    except ValueError as error:
        raise InvalidQuery(f"{text!r} is no place; write LAT,LON,KM as in 48.14,11.58,5") from error
    return north, east, km


def _written_size(text: str) -> tuple[int, int]:
    parts = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", text.strip())
    if parts is None:
        raise InvalidQuery(f"{text!r} is no size; write WIDTHxHEIGHT as in 1920x1080")
    return int(parts[1]), int(parts[2])
