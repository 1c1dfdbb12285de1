"""Questions → matches: what was asked becomes vectors and sets of ids, what was found an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrieval.catalog import Catalog
from retrieval.embed import Embedder
from retrieval.errors import InvalidQuery
from retrieval.filters import Filters
from retrieval.query import Question
from retrieval.records import Match
from retrieval.search import Hit, Searcher
from retrieval.selection import chosen, first_in

Sort = Literal["score", "date"]


@dataclass(frozen=True, slots=True)
class Asking:
    """How questions are to be answered. Raises InvalidQuery."""

    limit: int
    templates: tuple[str, ...] = ()
    min_score: float | None = None
    sort: Sort = "score"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise InvalidQuery(f"the limit must be at least 1, not {self.limit}")
        if self.min_score is not None and not np.isfinite(self.min_score):
            raise InvalidQuery(f"the least score must be a number, not {self.min_score}")
        if self.sort not in ("score", "date"):
            raise InvalidQuery(f"matches are sorted by score or by date, not by {self.sort!r}")


def answered(
    catalog: Catalog,
    searcher: Searcher,
    embedder: Embedder,
    questions: Sequence[Question],
    how: Asking,
) -> list[list[Match]]:
    """A list of matches for each question."""
    vectors = embedder.embed([question.query for question in questions], how.templates)
    answers: list[list[Match]] = [[] for _ in questions]
    for filters, rows in _alike(questions):
        allowed = chosen(catalog, filters)
        hits = searcher.search(embedder.record, vectors[rows], how.limit, allowed)
        for row, found in zip(rows, hits, strict=True):
            answers[row] = _answer(found, filters, how)
    return answers


def _alike(questions: Sequence[Question]) -> list[tuple[Filters, list[int]]]:
    """The questions, by number, that are asked of the same pictures: they are searched together."""
    groups: list[tuple[Filters, list[int]]] = []
    for row, question in enumerate(questions):
        for filters, rows in groups:
            if filters == question.filters:
                rows.append(row)
                break
        else:
            groups.append((question.filters, [row]))
    return groups


def _answer(hits: Sequence[Hit], filters: Filters, how: Asking) -> list[Match]:
    least = -np.inf if how.min_score is None else how.min_score
    matches = [_match(hit, filters) for hit in hits if hit.score >= least]
    if how.sort == "date":
        matches.sort(key=lambda match: match.image.date, reverse=True)
    return matches


def _match(hit: Hit, filters: Filters) -> Match:
    """With the first of the image's copies, or of those that lie in the folder asked for."""
    paths = hit.image.paths
    path = paths[0] if filters.folder is None else first_in(paths, filters.folder)
    return Match(path, hit.score, hit.image)
