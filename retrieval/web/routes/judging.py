"""Judging which model finds more: /api/judging. Which model found a picture is never told.

The server keeps nothing: the answers come back with the numbers of the pictures, and it searches
again to see whose they are.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Body, HTTPException, Query

from retrieval.errors import InvalidQuery, ModelMismatch
from retrieval.evaluation.judging import Candidate, Judging, verdicts
from retrieval.output.evaluations import verdicts_object
from retrieval.output.json_forms import match_object
from retrieval.records import Match
from retrieval.search.language import Line
from retrieval.search.options import SearchOptions
from retrieval.search.parse import question_of
from retrieval.web.parameters import JudgedPicture, JudgedPictures
from retrieval.web.query_names import Names
from retrieval.web.schemas import JSON, ResultsToJudge, Verdicts, errors
from retrieval.web.state import Here, Site

MAX_QUERIES = 50
UNKNOWN = {"score": None, "relevance": None, "strength": None}  # they would tell models apart

router = APIRouter(prefix="/judging")


@router.get("", response_model=ResultsToJudge, responses=errors(400, 404, 409, 503))
async def results(site: Here, q: Annotated[str, Query()]) -> JSON:
    """Return the best results of all models for a query, in random order."""

    def answer() -> dict[str, object]:
        judged = judging(site)
        pictures = [match_object(each.match) | UNKNOWN for each in judged.candidates([q])]
        return {"query": q, "models": judged.names, "pictures": pictures}

    return JSON(await site.in_turn(answer))


@router.post("", response_model=Verdicts, responses=errors(400, 404, 409, 413, 503))
async def verdict(site: Here, given: Annotated[JudgedPictures, Body()]) -> JSON:
    """Say which model found more, by answers to its results, and how sure that is.

    `answers`: for each judged picture its query, its number, and whether it is right.
    """

    def answer() -> dict[str, object]:
        queries = list(dict.fromkeys(each.query for each in given.answers))
        if not 0 < len(queries) <= MAX_QUERIES:
            raise InvalidQuery(f"give answers to 1 to {MAX_QUERIES} queries, not {len(queries)}")
        judged = judging(site)
        told = list(_judged(judged.candidates(queries), given.answers))
        count = len({candidate.query for candidate, _ in told})
        return verdicts_object(verdicts(told, judged.names), count)

    return JSON(await site.in_turn(answer))


def judging(site: Site) -> Judging:
    """Return all models of the library, to be judged. Raises HTTPException if there is one."""

    def search(query: str, how: SearchOptions) -> list[Match]:
        return site.library.search(question_of(Line([query], Names(site))), options=how)

    try:
        return Judging(site.library.catalog, (), search)
    except ModelMismatch as error:
        raise HTTPException(409, str(error)) from error


def _judged(
    candidates: Iterator[Candidate], answers: Sequence[JudgedPicture]
) -> Iterator[tuple[Candidate, bool]]:
    """Yield the candidates that were judged; a picture that is no longer found is left out."""
    right = {(each.query, each.picture): each.right for each in answers}
    for candidate in candidates:
        key = candidate.query, candidate.match.image.id
        if key in right:
            yield candidate, right[key]
