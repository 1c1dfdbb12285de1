"""`SearchOptions`: how a query is answered, for Python, the command line and the server alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from retrieval.errors import InvalidQuery
from retrieval.filters import Filters
from retrieval.paths import StrPath
from retrieval.search.templates import expanded
from retrieval.values import check_kind, check_number, check_whole, shown, texts

Rank = Literal["relevance", "cosine"]
Sort = Literal["score", "date"]


class SearchKeywords(TypedDict, total=False):
    """The fields of `SearchOptions` except the limit, as keywords of `Library.search`."""

    offset: int
    folder: StrPath | None
    filters: Filters | None
    without: str | Sequence[str]
    templates: str | Sequence[str]
    min_score: float | None
    min_relevance: float | None
    rank: Rank
    sort: Sort
    allow_url: bool
    pairs: bool
    using: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """The options of a search. Raises InvalidQuery for invalid values.

    A `str` in `without` or `templates` counts as a sequence of one. `min_relevance` needs a
    calibrated model and a plain-text query. `sort="date"` sorts the relevant matches, or the best
    `limit` if none are relevant.
    """

    limit: int = 10  # maximum number of matches, at least 1
    offset: int = 0  # best matches to skip, for the next page
    folder: StrPath | None = None  # search only in or below it; a path, or the end of one
    filters: Filters | None = None  # what every match must fulfil
    without: str | Sequence[str] = ()  # words that are subtracted from the query
    templates: str | Sequence[str] = ()  # sentences with {} for the words, or "photo", a set
    min_score: float | None = None  # cosine, -1 to 1
    min_relevance: float | None = None  # probability, 0 to 1
    rank: Rank = "relevance"  # "cosine": without the correction for hubness (hubness.py)
    sort: Sort = "score"  # "date": the newest first
    allow_url: bool = False  # fetch pictures that a query names by their http(s) address
    pairs: bool = True  # a raw file and its JPEG are one match; False: each is one
    using: str | None = None  # a model of the library, or "all", whose ranks are fused (using.py)

    def __post_init__(self) -> None:
        check_whole("the limit", self.limit, 1)
        check_whole("the offset", self.offset, 0)
        if self.min_score is not None:
            check_number("the minimum score", self.min_score, -1, 1)
        if self.min_relevance is not None:
            check_number("the minimum relevance", self.min_relevance, 0, 1)
        if self.filters is not None:
            check_kind("filters", self.filters, Filters, "a Filters object")
        if self.rank not in ("relevance", "cosine"):
            raise InvalidQuery(f"unknown rank {self.rank!r}; use relevance or cosine")
        if self.sort not in ("score", "date"):
            raise InvalidQuery(f"unknown sort {self.sort!r}; use score or date")
        if self.using is not None and (not isinstance(self.using, str) or not self.using):
            raise InvalidQuery(f'using must be a model\'s name or "all", not {shown(self.using)}')
        # Normalised, so that equal options compare equal. (Frozen, hence object.__setattr__.)
        object.__setattr__(self, "without", _described(texts("without", self.without)))
        object.__setattr__(self, "templates", expanded(texts("templates", self.templates)))

    @property
    def where(self) -> Filters:
        """The filters and the folder combined. Raises InvalidQuery if they contradict."""
        return (self.filters or Filters()).with_(Filters(folder=self.folder))

    @property
    def has_minimum(self) -> bool:
        """True if a minimum may reject matches, so that more have to be considered."""
        return self.min_score is not None or self.min_relevance is not None

    def with_limit(self, limit: int | None) -> "SearchOptions":
        return self if limit is None else replace(self, limit=limit)


def _described(without: tuple[str, ...]) -> tuple[str, ...]:
    """Return the descriptions to subtract. Raises InvalidQuery for an empty one."""
    if not all(map(str.strip, without)):
        raise InvalidQuery("a description to subtract is empty; say in a few words what to avoid")
    return without
