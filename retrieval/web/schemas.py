"""The objects in the API's responses, for OpenAPI; json_forms.py makes them."""

from typing import Annotated, Any, Literal

from fastapi import Path, Response
from typing_extensions import TypedDict  # pydantic requires this one before Python 3.12

from retrieval.output.json_forms import json_object
from retrieval.records import TakenFrom, Unit

Number = Annotated[int, Path(ge=1, le=1 << 62)]  # of a picture


class Error(TypedDict):
    """An error message of one line, with the remedy."""

    error: str
    position: int | None  # of the error in the query, in characters from 0


class PictureMoment(TypedDict):
    """A moment of a video, or of a picture with several frames or pages."""

    number: int  # for its thumbnail
    unit: Unit
    position: float  # seconds, or a frame or page from 0


class PictureEntry(TypedDict):
    """A picture. `score` (cosine), `relevance`, `strength` and `taken_at` are null if unknown.

    `taken_from` says where `date` comes from; without `taken_at`, it is that of the file.
    `companions` are files that belong to it: its raw file, Live Photo and sidecars.
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
    taken_from: TakenFrom
    copies: list[str]
    companions: list[str]
    truncated: bool  # its file ends too early; the missing part is grey
    duration: float | None  # seconds, of a video
    moment: float | None  # the best one: a second of a video, a frame or page from 0
    unit: Unit | None
    moments: list[PictureMoment]  # that match, best first; without a search, all in order


class SearchPage(TypedDict):
    """A page of matches. `empty`: the library has no pictures at all."""

    query: str
    matches: list[PictureEntry]
    next_offset: int | None
    looks_like_nothing: bool
    empty: bool
    seconds: float


class PictureDetails(PictureEntry):
    """A picture with all its details."""

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
    rating: int | None
    descriptions: list[str]
    keywords: list[str]
    people: list[str]
    exists: bool


class Uploaded(TypedDict):
    """An uploaded picture to search with, as `upload:KEY`."""

    key: str
    width: int
    height: int
    format: str
    thumbnail: str


class DuplicateFile(TypedDict):
    """A file in a group of copies. `size` is in bytes.

    `score` is its cosine to the file to keep, and `by` what they have in common; both are null for
    the file to keep.
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
    threshold: float  # cosine from which vectors alone decide


class LeftOutFiles(TypedDict):
    """Files that the last run left out, or folders if `kind` says so; `text` has it in words."""

    kind: str
    extension: str | None
    count: int
    text: str


class IndexedFolder(TypedDict):
    """A folder of the library. `entire` is false if only single files of it were named."""

    path: str
    files: int
    entire: bool
    present: bool
    excluded: list[str]
    left_out: list[LeftOutFiles]


class RunningIndex(TypedDict):
    """An index run in progress, in this server or elsewhere."""

    done: int
    total: int
    encoded: int
    seconds: float


class KeptModel(TypedDict):
    """A model beside the current one, whose vectors are kept."""

    model: str
    embedded: int  # pictures
    bytes: int
    keeps_up: bool  # new pictures are encoded by it as well


class ServerStatus(TypedDict):
    """The contents of the library, the index run in progress, and the rights of the client."""

    library: str
    model: str | None
    dim: int | None
    precision: str | None
    better_model: str | None
    files: int
    images: int
    embedded: int
    failures: int
    companions: int
    left_out: list[LeftOutFiles]
    index: str | None
    indexed: int
    bytes: int
    indexing: RunningIndex | None
    other_models: list[KeptModel]
    roots: list[IndexedFolder]
    last_run: str | None
    version: int
    version_of_program: str
    can_reveal: bool
    can_index: bool
    allow_url: bool


class ResultsToJudge(TypedDict):
    """The best results of all models for one query, in random order; scores are null."""

    query: str
    models: list[str]
    pictures: list[PictureEntry]


class JudgedModel(TypedDict):
    """What the answers say of a model."""

    model: str
    right: float  # share of its results that are right, averaged over queries
    found: int  # right results
    shown: int
    luck: float  # probability that the best model's lead over it is chance


class Verdicts(TypedDict):
    """The models, best first, and in words which found more and how sure that is."""

    queries: int
    models: list[JudgedModel]
    text: list[str]


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
    """A JSON response, written as on the command line: names need not be valid UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json_object(content)


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return a route's errors for OpenAPI; every route may answer 401, 403 and 422."""
    return {status: {"model": Error} for status in (401, 403, 422, *statuses)}


def error(said: str, status: int, position: int | None = None, **headers: str) -> JSON:
    return JSON(Error(error=said, position=position), status, headers)
