"""Questions → matches: encode each question, search for its vector, and score what is found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import first_in, selected
from retrieval.errors import InvalidQuery
from retrieval.filters import Filters
from retrieval.records import Match, Moment
from retrieval.search.companions import paired, with_companions
from retrieval.search.options import Rank, SearchOptions
from retrieval.search.query_encoder import QueryEncoder
from retrieval.search.question import Mix, Query, Question, Words
from retrieval.search.relevance import (
    EVIDENCE_HITS,
    FAIR,
    MAX_COUNTED,
    Calibration,
    calibration_of,
    why_silent,
)
from retrieval.vectors.hubness import HUBNESS_WEIGHT, is_measured
from retrieval.vectors.nearest import Hit, Searcher

MIN_DEPTH = 1_000  # hits considered if there is a minimum score or relevance

Moments = Mapping[int, Sequence[Moment]]  # of images, by id


def answered(
    catalog: Catalog,
    searcher: Searcher,
    encoder: QueryEncoder,
    questions: Sequence[Question],
    how: SearchOptions,
) -> list[list[Match]]:
    """Return a list of matches for each question. Raises InvalidQuery."""
    model = encoder.record
    curve = calibration_of(model)
    is_words = any(isinstance(question.query, Words) for question in questions)
    if how.min_relevance is not None and curve is None and is_words:
        raise InvalidQuery(f"{why_silent(model)}; use a minimum score or no minimum")
    vectors = encoder.embed([question.query for question in questions], how.templates)
    hubness_weights = [_hubness_weight(question.query, how.rank) for question in questions]
    weights = np.array(hubness_weights, np.float32)
    curve = curve if is_measured(model) else None
    answers: list[list[Match]] = [[] for _ in questions]
    is_paired = how.pairs and catalog.other_files.has_pairs()
    for filters, rows in _alike(questions):
        allowed = selected(catalog, filters)
        depth = max(how.offset + how.limit, MIN_DEPTH if how.has_minimum else EVIDENCE_HITS)
        depth *= 2 if is_paired else 1  # each may be half of a pair
        hits = searcher.search(model, vectors[rows], depth, allowed, weights[rows])
        if is_paired:
            hits = [paired(catalog, found) for found in hits]
        moments = catalog.images.moments([hit.image.id for row in hits for hit in row])
        pictures = searcher.count(model, allowed, MAX_COUNTED) if curve else 0
        for row, found in zip(rows, hits, strict=True):
            is_words = isinstance(questions[row].query, Words)
            judge = Judge.of(curve, pictures, found) if curve and is_words else None
            answers[row] = _answer(found, moments, filters, judge, how)
    return with_companions(catalog, answers)


class Judge(NamedTuple):
    """The relevance of the hits of one plain-text query."""

    curve: Calibration
    pictures: int  # that were searched
    evidence: float  # that there is a match, from the first hits together
    best: float  # the first one's cosine, corrected for hubness

    @classmethod
    def of(cls, curve: Calibration, pictures: int, hits: Sequence[Hit]) -> "Judge":
        first = sorted(hits, key=_corrected, reverse=True)[:EVIDENCE_HITS]
        if not first:
            return cls(curve, pictures, 0.0, 0.0)
        cosines = np.array([hit.score for hit in first])
        evidence = curve.evidence(cosines, np.array([hit.hubness for hit in first]))
        return cls(curve, pictures, float(evidence), _corrected(first[0]))

    def relevance(self, hit: Hit) -> float:
        """Return the relevance of a hit, in 0..1.

        The first one's follows from the evidence; the evidence for any other is less by as much as
        its corrected cosine is.
        """
        behind = self.best - _corrected(hit)
        return self.curve.relevance(self.evidence - behind, self.pictures)


def _corrected(hit: Hit) -> float:
    """Return the cosine less its part that is due to hubness."""
    return hit.score - HUBNESS_WEIGHT * hit.hubness


def _hubness_weight(query: Query, rank: Rank) -> float:
    """Return the weight of hubness in the ranking: 0 for queries that are not words alone, since
    it was measured with sentences.
    """
    parts = [term.of for term in query.terms] if isinstance(query, Mix) else [query]
    return (
        HUBNESS_WEIGHT
        if rank == "relevance" and all(isinstance(one, Words) for one in parts)
        else 0.0
    )


def _alike(questions: Sequence[Question]) -> list[tuple[Filters, list[int]]]:
    """Group the questions, by number, that have the same filters, to search for them together."""
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
    hits: Sequence[Hit], moments: Moments, filters: Filters, judge: Judge | None, how: SearchOptions
) -> list[Match]:
    if how.min_relevance is not None and judge is None:
        raise InvalidQuery(
            "relevance exists only for plain-text queries; an older library also needs a new run "
            "of `retrieve index`"
        )
    least = -np.inf if how.min_score is None else how.min_score
    matches = [_match(hit, moments, judge) for hit in hits if hit.score >= least]
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


def _match(hit: Hit, moments: Moments, judge: Judge | None) -> Match:
    path, of_image = hit.image.paths[0], moments.get(hit.image.id, [])
    relevance = judge.relevance(hit) if judge else None
    found = tuple(of_image[number] for number in hit.moments) if of_image else ()
    return Match(path, hit.score, hit.image, relevance, moments=found)


def _located(match: Match, filters: Filters) -> Match:
    """Return the match with the path of the copy to show. It stats every copy, so it is last."""
    return replace(match, path=first_in(match.image.paths, filters.folder))


def why_empty(catalog: Catalog) -> str:
    """Return the message for a library that holds no pictures."""
    if run := catalog.database.underway():
        so_far = f" ({run.done:,} of {run.total:,} files so far)" if run.total else ""
        return (
            f"the library {catalog.where} holds no pictures yet: indexing is under way{so_far}; "
            "try again in a moment"
        )
    return f"the library {catalog.where} holds no pictures; run `retrieve index FOLDER`"
