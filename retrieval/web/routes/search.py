"""Searches: /api/search, /api/similar, /api/duplicates."""

import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple, cast

from fastapi import APIRouter, Depends, Query

from retrieval.catalog.selection import first_in
from retrieval.collection.duplicates import Groups, redundant_paths
from retrieval.errors import InvalidQuery, LibraryEmpty, LibraryNotFound
from retrieval.filters import Filters, all_written
from retrieval.output.json_forms import DIGITS, group_object, listed_object, match_object
from retrieval.records import Match
from retrieval.search.language import Line
from retrieval.search.options import Rank, SearchOptions, Sort
from retrieval.search.parse import question_of
from retrieval.search.relevance import FAIR
from retrieval.search.using import EVERY, names_held
from retrieval.web.query_names import Names
from retrieval.web.schemas import JSON, Duplicates, Number, PictureEntry, SearchPage, errors
from retrieval.web.state import Here, Site

MAX_PAGE = 500  # matches
MAX_DEPTH = 10_000  # matches, over all pages

router = APIRouter()

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]
Offset = Annotated[int, Query(ge=0, le=MAX_DEPTH)]
Filter = Annotated[str | None, Query()]


def given_filters(
    folder: Annotated[str | None, Query(alias="in")] = None,
    after: Filter = None,
    before: Filter = None,
    camera: Filter = None,
    near: Annotated[str | None, Query(description="LAT,LON,KM")] = None,
    min_size: Annotated[str | None, Query(alias="min-size", description="WxH")] = None,
    format: Filter = None,
    orientation: Filter = None,
) -> Filters:
    """Read the filters of the query language from parameters of the same names."""
    return all_written(
        {
            "in": folder,
            "after": after,
            "before": before,
            "camera": camera,
            "near": near,
            "min-size": min_size,
            "format": format,
            "orientation": orientation,
        }
    )


Filtered = Annotated[Filters, Depends(given_filters)]


@router.get("/search", response_model=SearchPage, responses=errors(400, 503))
async def search(
    site: Here,
    filters: Filtered,
    *,
    q: str = "",
    limit: Limit = 50,
    offset: Offset = 0,
    sort: Sort = "score",
    rank: Rank = "relevance",
    min_score: float | None = None,
    min_relevance: Annotated[float | None, Query(ge=0, le=1)] = None,
    without: Annotated[list[str] | None, Query(alias="not")] = None,
    template: Annotated[list[str] | None, Query()] = None,
    pairs: bool = True,
    using: str | None = None,
) -> JSON:
    """Search by description or example picture; without a query, list all, newest first.

    `pairs=false`: a raw file and its JPEG are two matches. `using`: search with this model of those
    in /api/status, or with `all`, whose ranks are fused; a score is then 1 if all models agree.
    """
    options = SearchOptions(
        limit=limit,
        offset=offset,
        filters=filters,
        without=without or (),
        templates=template or (),
        min_score=min_score,
        min_relevance=min_relevance,
        rank=rank,
        sort=sort,
        pairs=pairs,
        using=using,
    )

    def answer() -> Matches:
        check_held(site, using)
        line = Line([q], Names(site))
        if not (line.has_terms or without):
            return newest(site, line.filters.with_(filters), options)
        matches = site.library.search(question_of(line), options=options)
        return Matches(
            [match_object(match) for match in matches], offset == 0 and are_all_weak(matches)
        )

    return await paged(site, answer, q, limit, offset)


@router.get("/similar/{id}", response_model=SearchPage, responses=errors(400, 503))
async def similar(
    site: Here,
    id: Number,
    filters: Filtered,
    limit: Limit = 50,
    offset: Offset = 0,
    pairs: bool = True,
) -> JSON:
    """Find pictures similar to one in the library, without itself and its copies."""

    def answer() -> Matches:
        matches = site.library.similar(id, offset + limit, filters=filters, pairs=pairs)
        return Matches([match_object(match) for match in matches[offset:]])

    return await paged(site, answer, f"id:{id}", limit, offset)


@router.get("/duplicates", response_model=Duplicates, responses=errors(400, 503))
async def duplicates(
    site: Here,
    filters: Filtered,
    threshold: Annotated[float | None, Query(gt=0, le=1)] = None,
    pairs: bool = True,
) -> JSON:
    """List groups of copies and near copies, the file to keep first. Nothing is deleted.

    `threshold`: lowest cosine of near copies (default: the model's own, which the answer has); 1:
    only files with the same bytes. `pairs=false`: compare a raw file with its JPEG as well. All
    listed files exist and are unchanged since they were indexed.
    """

    def answer() -> dict[str, Any]:
        try:
            found = site.library.duplicates(threshold, filters=filters, pairs=pairs)
        except (LibraryEmpty, LibraryNotFound):
            found = Groups((), {}, 0)
        return {
            "groups": [group_object(group, found.sizes) for group in found],
            "redundant_files": len(redundant_paths(found)),
            "left_out_files": found.left_out,
            "threshold": round(found.threshold, DIGITS),
        }

    return JSON(await site.in_turn(answer))


class Matches(NamedTuple):
    """The matches on one page of an answer."""

    matches: list[dict[str, Any]]
    looks_like_nothing: bool = False
    is_library_empty: bool = False  # the library has no pictures


async def paged(
    site: Site, answer: Callable[[], Matches], query: str, limit: int, offset: int
) -> JSON:
    """Answer with a page of matches. An empty library is not an error here."""
    began = time.monotonic()
    if offset + limit > MAX_DEPTH:
        raise InvalidQuery(f"only the first {MAX_DEPTH:,} matches are available")
    try:
        page = await site.in_turn(answer)
    except (LibraryEmpty, LibraryNotFound):
        page = Matches([], is_library_empty=True)
    end = offset + limit
    return JSON(
        SearchPage(
            query=query,
            matches=cast("list[PictureEntry]", page.matches),
            next_offset=end if len(page.matches) == limit and end < MAX_DEPTH else None,
            looks_like_nothing=page.looks_like_nothing,
            empty=page.is_library_empty,
            seconds=round(time.monotonic() - began, 4),
        )
    )


def newest(site: Site, filters: Filters, how: SearchOptions) -> Matches:
    catalog, ids = site.library.catalog, site.newest_first(filters, how.pairs)
    some = ids[how.offset : how.offset + how.limit].tolist()
    images = catalog.images.by_id(some)
    held = [images[id] for id in some if id in images and images[id].paths]
    beside = catalog.other_files.of_images(some)
    moments = catalog.images.moments(some)
    shown = [(image, first_in(image.paths, filters.folder)) for image in held]
    listed = [
        listed_object(image, path, beside.get(path, ()), moments.get(image.id, ()))
        for image, path in shown
    ]
    return Matches(listed, is_library_empty=not catalog.images.count())


def check_held(site: Site, using: str | None) -> None:
    """Raise InvalidQuery for a model that the library does not hold. A name is never resolved to a
    file here, as a library does for its owner.
    """
    if using in (None, EVERY):
        return
    held = names_held(site.library.catalog)
    if using not in held:
        said = ", ".join(held) or "no model's"
        raise InvalidQuery(f"the library has no embeddings of {using!r}, but {said}")


def are_all_weak(matches: Sequence[Match]) -> bool:
    """Return whether all matches have a relevance, and all of them are weak."""
    return bool(matches) and all(
        match.relevance is not None and match.relevance < FAIR for match in matches
    )
