"""`Filters` as conditions, which whoever holds the facts renders in a language of its own: the
catalog in SQL, a vector store as its expressions.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from retrieval.decoding.formats import names_meant
from retrieval.errors import InvalidQuery
from retrieval.filters import MAX_CAMERA_WORDS, Filters, Moment, first_moment

LAST_SECOND = 9_223_372_036  # the last that fits 64 bits of nanoseconds: in 2262
SHAPES: dict[str, Literal[">", "<", "="]] = {"landscape": ">", "portrait": "<", "square": "="}


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
