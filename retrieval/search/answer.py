"""Questions → matches: what was asked becomes vectors and sets of ids, what was found an answer."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen, first_in
from retrieval.errors import InvalidQuery
from retrieval.filters import Filters
from retrieval.records import Match
from retrieval.search.options import Rank, SearchOptions
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.question import Mix, Query, Question, Words
from retrieval.search.relevance import (
    CROWD,
    FAIR,
    TOGETHER,
    Calibration,
    calibration_of,
    why_silent,
)
from retrieval.vectors.hubness import HUBNESS_WEIGHT, is_measured
from retrieval.vectors.nearest import Hit, Searcher

DEEP = 1_000  # hits among which those are looked for that reach a least score or relevance


def answered(
    catalog: Catalog,
    searcher: Searcher,
    encoder: QueryEncoder,
    questions: Sequence[Question],
    how: SearchOptions,
) -> list[list[Match]]:
    """A list of matches for each question."""
    model = encoder.record
    curve = calibration_of(model)
    is_words = any(isinstance(question.query, Words) for question in questions)
    if how.min_relevance is not None and curve is None and is_words:
        raise InvalidQuery(f"{why_silent(model)}; search with a minimum score or without a minimum")
    vectors = encoder.embed([question.query for question in questions], how.templates)
    of_hubness = [_hubness_weight(question.query, how.rank) for question in questions]
    weights = np.array(of_hubness, np.float32)
    curve = curve if is_measured(model) else None
    answers: list[list[Match]] = [[] for _ in questions]
    for filters, rows in _alike(questions):
        allowed = chosen(catalog, filters)
        depth = max(how.offset + how.limit, DEEP if how.has_minimum else TOGETHER)
        hits = searcher.search(model, vectors[rows], depth, allowed, weights[rows])
        among = catalog.embeddings.at_least(model.id, CROWD) if allowed is None else len(allowed)
        for row, found in zip(rows, hits, strict=True):
            is_words = isinstance(questions[row].query, Words)
            judge = Judge.of(curve, among, found) if curve and is_words else None
            answers[row] = _answer(found, filters, judge, how)
    return answers


class Judge(NamedTuple):
    """The relevance of the hits of one query in words."""

    curve: Calibration
    among: int  # pictures
    evidence: float  # that there is a match: by the first hits together
    best: float  # what is left of the first one's cosine

    @classmethod
    def of(cls, curve: Calibration, among: int, hits: Sequence[Hit]) -> "Judge":
        first = sorted(hits, key=_left, reverse=True)[:TOGETHER]
        if not first:
            return cls(curve, among, 0.0, 0.0)
        cosines = np.array([hit.score for hit in first])
        evidence = curve.evidence(cosines, np.array([hit.hubness for hit in first]))
        return cls(curve, among, float(evidence), _left(first[0]))

    def relevance(self, hit: Hit) -> float:
        """That of the first is the evidence's; the others fall behind as far as in the ranking."""
        return self.curve.relevance(self.evidence - (self.best - _left(hit)), self.among)


def _left(hit: Hit) -> float:
    return hit.score - HUBNESS_WEIGHT * hit.hubness


def _hubness_weight(query: Query, rank: Rank) -> float:
    """How much of a picture's hubness is subtracted: sentences measured it, for words alone."""
    parts = [term.of for term in query.terms] if isinstance(query, Mix) else [query]
    return (
        HUBNESS_WEIGHT
        if rank == "relevance" and all(isinstance(one, Words) for one in parts)
        else 0.0
    )


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


def _answer(
    hits: Sequence[Hit], filters: Filters, judge: Judge | None, how: SearchOptions
) -> list[Match]:
    if how.min_relevance is not None and judge is None:
        raise InvalidQuery(
            "the relevance is known for plain words alone, and of an older library only when "
            "`retrieve index` has brought it up to date"
        )
    least = -np.inf if how.min_score is None else how.min_score
    matches = [_match(hit, judge) for hit in hits if hit.score >= least]
    if how.min_relevance is not None:
        matches = _relevant(matches, how.min_relevance)
    if how.sort == "date":
        matches = _relevant(matches, FAIR) or matches
    matches = matches[how.offset : how.offset + how.limit]
    if how.sort == "date":
        matches.sort(key=lambda match: match.image.date, reverse=True)
    return [_located(match, filters) for match in matches]


def _relevant(matches: Sequence[Match], least: float) -> list[Match]:
    return [match for match in matches if match.relevance is None or match.relevance >= least]


def _match(hit: Hit, judge: Judge | None) -> Match:
    path = hit.image.paths[0]
    return Match(path, hit.score, hit.image, judge.relevance(hit) if judge else None)


def _located(match: Match, filters: Filters) -> Match:
    """With the copy to show: only now, as it takes a look at each of them."""
    return replace(match, path=first_in(match.image.paths, filters.folder))


def why_empty(folder: Path) -> str:
    """What to say where the library in this folder holds no pictures."""
    from retrieval.catalog.lock import underway

    if run := underway(folder):
        so_far = f" ({run.done:,} of {run.total:,} files so far)" if run.total else ""
        return (
            f"the library {folder} holds no pictures yet: indexing is under way{so_far}; "
            "try again in a moment"
        )
    return f"the library {folder} holds no pictures; run `retrieve index FOLDER`"
