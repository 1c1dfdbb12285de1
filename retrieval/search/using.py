"""Which of a library's models answer a search, and the fusion of their answers.

Ranks are fused, not scores, since cosines of different models are not comparable: reciprocal rank
fusion (Cormack et al. 2009). A picture's score is the sum of 1 / (60 + rank) over the models that
found it, divided by the most that it could be, so 1 means first with every model.
"""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.catalog.reading import Catalog
from retrieval.errors import InvalidQuery, ModelMismatch
from retrieval.models import choice
from retrieval.records import Match, ModelRecord
from retrieval.search.options import SearchOptions

EVERY = "all"
DAMPING = 60  # Cormack's constant: how little the first ranks stand out
LEAST_DEPTH = 100  # results of each model that are fused


def models_used(catalog: Catalog, using: str | None) -> list[ModelRecord]:
    """Return the models that a search with this option uses: the current one, one that is named, or
    all that have encoded something, the current one first. Raises ModelMismatch.
    """
    current = catalog.current_model()
    if using is None:
        return [current] if current else []
    known = [each for each in catalog.models() if catalog.embeddings.at_least(each.id, 1)]
    if using == EVERY:
        return sorted(known, key=lambda model: model != current)
    named = [model for model in known if model.name == using]
    named = named or [model for model in known if choice.is_same(model, using)]
    if not named:
        held = ", ".join(model.name for model in known) or "no model's"
        raise ModelMismatch(
            f"the library has no embeddings of {using!r}, but {held}; to add some, run "
            f"`retrieve index --model {using} --also`"
        )
    return named[:1]


def names_held(catalog: Catalog) -> list[str]:
    """Return the names of the models that have encoded something, the current one first."""
    return [model.name for model in models_used(catalog, EVERY)]


def before_fusion(how: SearchOptions) -> SearchOptions:
    """Return the options of each model's own search. Raises InvalidQuery for those that would
    compare scores of different models.
    """
    if how.has_minimum:
        raise InvalidQuery(
            "a minimum score or relevance belongs to one model; name it, or use no minimum"
        )
    return replace(
        how, offset=0, limit=max(LEAST_DEPTH, how.offset + how.limit), using=None, sort="score"
    )


def fused(answers: Sequence[Sequence[Match]], how: SearchOptions) -> list[Match]:
    """Fuse the answers of several models to one query, the first model's matches first in ties."""
    scores, matches = dict[int, float](), dict[int, Match]()
    for answer in answers:
        for rank, match in enumerate(answer, 1):
            id = match.image.id
            scores[id] = scores.get(id, 0.0) + 1 / (DAMPING + rank)
            matches.setdefault(id, match)
    best = len(answers) / (DAMPING + 1)
    ordered = sorted(matches, key=lambda id: -scores[id])[how.offset : how.offset + how.limit]
    found = [replace(matches[id], score=scores[id] / best, relevance=None) for id in ordered]
    if how.sort == "date":
        found.sort(key=lambda match: match.image.date, reverse=True)
    return found
