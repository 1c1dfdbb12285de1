"""The objects that the API answers with, as OpenAPI describes them; json_forms.py makes them."""

from typing import Annotated, Any, Literal

from fastapi import Path, Response
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from retrieval.output.json_forms import json_object

Number = Annotated[int, Path(ge=1, le=1 << 62)]  # of a picture


class Error(TypedDict):
    """What is wrong, and the remedy, in one line."""

    error: str
    position: int | None  # of the character of the query at which it is, from 0


class PictureEntry(TypedDict):
    """A picture. `score` (cosine), `relevance` and `strength` are null where none is known, as is
    `taken_at`; `date` is that of the file then.
    """

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


class SearchPage(TypedDict):
    """One page of the matches of a search. `empty`: the library holds no pictures at all."""

    query: str
    matches: list[PictureEntry]
    next_offset: int | None
    looks_like_nothing: bool
    empty: bool
    seconds: float


class PictureDetails(PictureEntry):
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


class DuplicateFile(TypedDict):
    """A file of a group of copies. `score`: its cosine to the one to keep; `by`: what it has in
    common with that one; both are null for that one itself. `size` is in bytes.
    """

    id: int
    path: str
    name: str
    width: int
    height: int
    size: int | None
    date: str
    score: float | None
    by: Literal["bytes", "vectors", "hash"] | None


class DuplicateGroup(TypedDict):
    keep: DuplicateFile
    others: list[DuplicateFile]


class Duplicates(TypedDict):
    groups: list[DuplicateGroup]
    redundant_files: int
    left_out_files: int  # missing, or changed since they were indexed


class IndexedFolder(TypedDict):
    """A folder of the library. `entire`: false where only some of its files were named."""

    path: str
    files: int
    entire: bool
    present: bool
    excluded: list[str]


class RunningIndex(TypedDict):
    """An index run that goes on, in this server or elsewhere."""

    done: int
    total: int
    encoded: int
    seconds: float


class ServerStatus(TypedDict):
    """What the library holds, what goes on, and what whoever asks may do."""

    library: str
    model: str | None
    dim: int | None
    precision: str | None
    files: int
    images: int
    embedded: int
    failures: int
    index: str | None
    indexed: int
    bytes: int
    indexing: RunningIndex | None
    roots: list[IndexedFolder]
    last_run: str | None
    version: int
    version_of_program: str
    can_reveal: bool
    can_index: bool
    allow_url: bool


class FailedFile(TypedDict):
    path: str
    reason: str
    code: str


class Failures(TypedDict):
    failures: list[FailedFile]
    total: int


class Folder(TypedDict):
    path: str
    files: int


class FacetValue(TypedDict):
    name: str
    images: int


class FacetCounts(TypedDict):
    cameras: list[FacetValue]
    formats: list[FacetValue]
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
