"""The objects that the API answers with, as OpenAPI describes them."""

from typing import Annotated, Any, Literal, cast

from fastapi import Path, Response
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from retrieval.catalog.selection import first_in
from retrieval.filters import Filters
from retrieval.output.json_forms import json_object, match_object
from retrieval.records import Image, Match
from retrieval.search.relevance import strength

Number = Annotated[int, Path(ge=1, le=1 << 62)]  # of a picture


class Error(TypedDict):
    """What is wrong, and the remedy, in one line."""

    error: str
    position: int | None  # of the character of the query at which it is, from 0


class Shown(TypedDict):
    """A picture. `score` (cosine), `relevance` and `strength` are null where none is known."""

    id: int
    path: str
    name: str
    score: float | None
    relevance: float | None
    strength: Literal["strong", "fair", "weak"] | None
    width: int
    height: int
    format: str
    taken_at: str | None
    date: str
    copies: list[str]


class Found(TypedDict):
    """One page of the answer to a search. `empty`: the library holds no pictures at all."""

    query: str
    matches: list[Shown]
    next_offset: int | None
    looks_like_nothing: bool
    empty: bool
    seconds: float


class Picture(Shown):
    """All that is known of a picture."""

    modified_at: str | None
    size: int | None
    camera: str | None
    lens: str | None
    latitude: float | None
    longitude: float | None
    exposure: float | None
    aperture: float | None
    iso: int | None
    focal_length: float | None
    exists: bool


class Uploaded(TypedDict):
    """A picture to search with, as `upload:KEY`."""

    key: str
    width: int
    height: int
    format: str
    thumbnail: str


class Double(TypedDict):
    """A file of a group of copies; `cosine` is to the first. `same`: it has the same bytes. `by`:
    what it has in common with the first; null for the first itself.
    """

    id: int
    path: str
    name: str
    width: int
    height: int
    size: int | None
    cosine: float | None
    same: bool
    by: Literal["bytes", "vectors", "hash"] | None
    date: str


class DoubleGroup(TypedDict):
    pictures: list[Double]


class Doubles(TypedDict):
    groups: list[DoubleGroup]
    files_to_spare: int
    files_left_out: int  # missing, or changed since they were indexed


class Root(TypedDict):
    path: str
    files: int
    mounted: bool
    excluded: list[str]


class Run(TypedDict):
    """An index run that goes on, in this server or elsewhere."""

    done: int
    total: int
    encoded: int
    seconds: float


class Standing(TypedDict):
    """What the library holds, and what goes on."""

    library: str
    model: str | None
    files: int
    images: int
    embedded: int
    failures: int
    bytes: int
    roots: list[Root]
    indexing: Run | None
    last_run: str | None
    version: int
    version_of_program: str
    can_reveal: bool
    can_index: bool
    allow_url: bool


class Failure(TypedDict):
    path: str
    reason: str
    code: str


class Failures(TypedDict):
    failures: list[Failure]
    total: int


class Folder(TypedDict):
    path: str
    files: int


class Value(TypedDict):
    name: str
    images: int


class Facets(TypedDict):
    cameras: list[Value]
    formats: list[Value]
    first: str | None
    last: str | None


class JSON(Response):
    """As the command line writes it: names need not be UTF-8, and lose nothing."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json_object(content)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For OpenAPI: what a route may answer instead; 401, 403 and 422 come of every one."""
    return {status: {"model": Error} for status in (401, 403, 422, *statuses)}


def error(said: str, status: int, position: int | None = None, **headers: str) -> JSON:
    return JSON(Error(error=said, position=position), status, headers)


def shown(match: Match) -> Shown:
    relevance = match.relevance
    more = {
        "name": match.path.name,
        "strength": None if relevance is None else strength(relevance),
        "date": match.image.date.isoformat(),
    }
    return cast("Shown", match_object(match) | more)


def listed(image: Image, filters: Filters | None = None) -> Shown:
    """A picture that nothing was compared with."""
    folder = filters.folder if filters else None
    path = first_in(image.paths, folder)
    return {**shown(Match(path, 0.0, image)), "score": None}
