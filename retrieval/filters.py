"""`Filters`: which pictures a search may find, whatever they look like.

A picture's date is the local time at which it was taken, from its EXIF; without one, the
modification time of its oldest file in this machine's time zone. `conditions_of` says what filters
demand, for whoever holds the facts: the catalog renders it in SQL, a vector store in expressions.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, time
from numbers import Integral, Real
from typing import Any, Literal

from retrieval.decoding.formats import FORMATS, format_words, names_meant
from retrieval.errors import InvalidQuery
from retrieval.values import check_kind, check_path, shown

MAX_CAMERA_WORDS = 100  # SQLite takes a thousand conditions at most
LAST_SECOND = 9_223_372_036  # the last that fits 64 bits of nanoseconds: in 2262
SHAPES: dict[str, Literal[">", "<", "="]] = {"landscape": ">", "portrait": "<", "square": "="}

Moment = str | date | datetime


@dataclass(frozen=True, slots=True)
class Filters:
    """Conditions that every match must meet; None means no condition. Raises InvalidQuery.

    A date is a str such as "2023", "2023-06" or "2023-06-01T12:30", a date, or a datetime. `after`
    includes the first moment of its date and `before` excludes it, so after="2023", before="2024"
    is one year.
    """

    folder: str | os.PathLike[str] | None = None  # or below it; a path, or the end of one
    after: Moment | None = None
    before: Moment | None = None
    camera: str | None = None  # words that the camera's make and model contain
    near: tuple[float, float, float] | None = None  # degrees north, degrees east, kilometres
    min_size: tuple[int, int] | None = None  # pixels, width and height, as displayed
    format: str | None = None  # "jpeg", "png", "heic", ...
    orientation: Literal["landscape", "portrait", "square"] | None = None

    def __post_init__(self) -> None:
        if self.folder is not None:
            check_path(self.folder)
            if not os.fspath(self.folder):
                raise InvalidQuery("the folder filter is empty; give a path or a name")
        _check_dates(self.after, self.before)
        if self.camera is not None:
            check_kind("camera", self.camera, str, "a str")
            if not self.camera.strip():
                raise InvalidQuery("the camera is empty; give a word of its name")
        if self.near is not None:
            _check_place(self.near)
        if self.min_size is not None:
            _check_size(self.min_size)
        if self.format is not None:
            _check_format(self.format)
        if self.orientation is not None and self.orientation not in SHAPES:
            raise InvalidQuery(
                f"{self.orientation!r} is not an orientation; choose {', '.join(SHAPES)}"
            )

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) is not None for field in fields(self))

    def with_(self, other: "Filters") -> "Filters":
        """Return both sets of conditions together. Raises InvalidQuery where they contradict each
        other.
        """
        said = {field.name: getattr(other, field.name) for field in fields(other)}
        said = {name: value for name, value in said.items() if value is not None}
        for name, value in said.items():
            if getattr(self, name) not in (None, value):
                raise InvalidQuery(f"the filter {NAMES[name]} is given twice")
        return replace(self, **said)


NAMES = {  # of the fields in the query language and of the options
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
    """Read a filter from text; `name` is one of FIELDS. Raises InvalidQuery."""
    read: dict[str, Any] = {"near": _written_place, "min_size": _written_size}
    field = FIELDS[name]
    if field == "orientation":
        value = value.lower()
    return Filters(**{field: read.get(field, str)(value)})


def all_written(values: Mapping[str, str | None], before: str = "") -> Filters:
    """Filters as people write them, by their names in FIELDS; None for those that are not given.

    Raises InvalidQuery, which begins with the name of the filter, and `before` ahead of it.
    """
    filters = Filters()
    for name, value in values.items():
        if value is not None:
            try:
                filters = filters.with_(written(name, value))
            except InvalidQuery as error:
                raise InvalidQuery(f"{before}{name}: {error}") from error
    return filters


def first_moment(given: Moment) -> datetime:
    """Return the first moment of a year, month, day or minute, without a time zone. Raises
    InvalidQuery.
    """
    if isinstance(given, datetime):
        return given.replace(tzinfo=None)
    if isinstance(given, date):
        return datetime.combine(given, time())
    if not isinstance(given, str):
        raise InvalidQuery(f"a date must be a str, a date or a datetime, not {shown(given)}")
    parts = re.fullmatch(
        r"(\d{4})(?:-(\d\d?)(?:-(\d\d?)(?:[T ](\d\d):(\d\d)(?::(\d\d))?)?)?)?", given.strip()
    )
    try:
        if parts is None:
            raise ValueError("unknown format")
        year, month, day, hour, minute, second = (int(part or 0) for part in parts.groups())
        return datetime(year, month or 1, day or 1, hour, minute, second)
    except ValueError as error:
        raise InvalidQuery(
            f"{given!r} is not a valid date ({error}); "
            "write 2023, 2023-06, 2023-06-01 or 2023-06-01T12:30"
        ) from error


def _check_dates(after: Moment | None, before: Moment | None) -> None:
    """Raise InvalidQuery for an invalid date, or if no moment lies between the two."""
    first = None if after is None else first_moment(after)
    last = None if before is None else first_moment(before)
    if first is None or last is None or first < last:
        return
    remedy = "before excludes its date" if first == last else "swap the two"
    raise InvalidQuery(f"no date is on or after {after} and before {before}; {remedy}")


def _check_size(size: object) -> None:
    sides = tuple(size) if isinstance(size, Sequence) else ()
    are_whole = all(isinstance(side, Integral) for side in sides)
    if len(sides) != 2 or not are_whole or min(sides) < 0:
        raise InvalidQuery(f"{shown(size)} is not a valid size; give width and height in pixels")


def _check_format(name: str) -> None:
    """Raise InvalidQuery for an unknown format, with a suggestion."""
    check_kind("format", name, str, "a str")
    known = format_words()
    called = name.strip().lstrip(".").lower()
    if called not in known:
        import difflib  # which a good query does without

        near = difflib.get_close_matches(called, known, 1)
        hint = f"did you mean {near[0]}? Known formats" if near else "known formats"
        names = ", ".join(each.name.lower() for each in FORMATS)
        raise InvalidQuery(f"{name!r} is not a known format; {hint}: {names}")


def _check_place(near: object) -> None:
    parts = tuple(near) if isinstance(near, Sequence) else ()
    if len(parts) != 3 or not all(isinstance(part, Real) for part in parts):
        raise InvalidQuery(
            f"near must be degrees north, degrees east and kilometres, not {shown(near)}"
        )
    north, east, km = map(float, parts)
    if not (-90 <= north <= 90 and -180 <= east <= 180 and 0 <= km < math.inf):
        raise InvalidQuery(
            f"{north:g},{east:g},{km:g} is not a valid place; give degrees north (-90 to 90), "
            "degrees east (-180 to 180) and kilometres"
        )


def _written_place(text: str) -> tuple[float, float, float]:
    try:
        north, east, km = map(float, text.split(","))
    except ValueError as error:
        raise InvalidQuery(
            f"{text!r} is not a valid place; write LAT,LON,KM, for example 48.14,11.58,5"
        ) from error
    return north, east, km


def _written_size(text: str) -> tuple[int, int]:
    parts = re.fullmatch(r"(\d{1,9})[xX×](\d{1,9})", text.strip())
    if parts is None:
        raise InvalidQuery(
            f"{text!r} is not a valid size; write WIDTHxHEIGHT, for example 1920x1080"
        )
    return int(parts[1]), int(parts[2])


# -- conditions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dated:
    """Taken, or without a date last modified, on or after a moment, or before it."""

    sign: Literal[">=", "<"]
    moment: datetime  # local time, without a zone

    @property
    def modified_ns(self) -> int:
        """The moment in this machine's zone, as the time of a file."""
        try:
            seconds = int(self.moment.timestamp())
        except (OverflowError, OSError, ValueError):  # a year beyond this machine's clock
            seconds = LAST_SECOND if self.moment.year > 1970 else -LAST_SECOND
        return max(-LAST_SECOND, min(seconds, LAST_SECOND)) * 1_000_000_000


@dataclass(frozen=True, slots=True)
class CameraHas:
    """The camera's make and model contain a word, in whichever case."""

    word: str  # lower-case


@dataclass(frozen=True, slots=True)
class Within:
    """Taken within some kilometres of a place."""

    north: float  # degrees
    east: float
    km: float


@dataclass(frozen=True, slots=True)
class AtLeast:
    """At least this wide and this high."""

    width: int  # pixels, as displayed
    height: int


@dataclass(frozen=True, slots=True)
class FormatIn:
    """In one of these formats."""

    names: tuple[str, ...]  # Pillow's, upper-case


@dataclass(frozen=True, slots=True)
class Shaped:
    """The width compared with the height."""

    sign: Literal[">", "<", "="]


Condition = Dated | CameraHas | Within | AtLeast | FormatIn | Shaped


def conditions_of(filters: Filters) -> tuple[Condition, ...]:
    """Return what all filters except the folder demand. Raises InvalidQuery."""
    return (
        *([_dated(filters.after, ">=")] if filters.after is not None else ()),
        *([_dated(filters.before, "<")] if filters.before is not None else ()),
        *(map(CameraHas, _words(filters.camera)) if filters.camera is not None else ()),
        *([Within(*filters.near)] if filters.near is not None else ()),
        *([AtLeast(*filters.min_size)] if filters.min_size is not None else ()),
        *([FormatIn(tuple(names_meant(filters.format)))] if filters.format is not None else ()),
        *([Shaped(SHAPES[filters.orientation])] if filters.orientation is not None else ()),
    )


def _dated(given: Moment, sign: Literal[">=", "<"]) -> Dated:
    return Dated(sign, first_moment(given))


def _words(camera: str) -> list[str]:
    if not camera.strip():
        raise InvalidQuery("the camera is empty; give a word of its name")
    words = camera.encode("utf-8", "replace").decode("utf-8")  # databases reject lone surrogates
    if len(each := words.lower().split()) > MAX_CAMERA_WORDS:
        raise InvalidQuery(f"the camera has {len(each):,} words; give at most {MAX_CAMERA_WORDS}")
    return each
