"""Which model found more, by someone's own yes and no to the pooled results of all models.

The results of all models for a query are shown in one random order, so that who judges does not
know whose they are. A model's score for a query is the share of its first results that are right.
How likely a difference is luck: an exact sign-flip test over queries (Fisher's randomisation test).
"""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.errors import ModelMismatch
from retrieval.records import Match
from retrieval.search.options import SearchOptions
from retrieval.search.using import EVERY, models_used

DEPTH = 5  # results of each model for each query
EXACT_UP_TO = 12  # queries; beyond, signs are flipped at random
FLIPS = 10_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture to judge, and the models that found it."""

    query: str
    match: Match
    found_by: frozenset[str]


class Judging:
    """Several models whose results are to be judged."""

    def __init__(
        self,
        catalog: Catalog,
        names: Sequence[str],
        search: Callable[[str, SearchOptions], Sequence[Match]],
    ) -> None:
        """names: models; none: all that the library holds. search: answers a query.

        Raises ModelMismatch if there are not two to compare.
        """
        used = [models_used(catalog, name)[0] for name in names] or models_used(catalog, EVERY)
        self.names = list(dict.fromkeys(model.name for model in used))
        if len(self.names) < 2:
            raise ModelMismatch(
                "judging compares two models or more, and there is one; add another: "
                "retrieve index --model NAME --also"
            )
        self._search = search

    def candidates(self, queries: Iterable[str]) -> Iterator[Candidate]:
        """Yield the pooled results, query by query."""
        for query in dict.fromkeys(queries):
            how = {name: SearchOptions(limit=DEPTH, using=name) for name in self.names}
            yield from pooled(query, {name: self._search(query, how[name]) for name in how})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the answers say of one model."""

    name: str
    right: float  # share of its results that are right
    found: int  # right results
    shown: int
    luck: float  # probability that the best model's lead over it is chance; 1 for the best itself


def pooled(query: str, results: Mapping[str, Sequence[Match]], seed: int = 0) -> list[Candidate]:
    """Pool the results of all models for one query, each picture once, in random order."""
    found_by: dict[int, set[str]] = {}
    matches: dict[int, Match] = {}
    for name, found in results.items():
        for match in found[:DEPTH]:
            matches.setdefault(match.image.id, match)
            found_by.setdefault(match.image.id, set()).add(name)
    order = sorted(matches)
    random.Random(f"{seed} {query}").shuffle(order)
    return [Candidate(query, matches[id], frozenset(found_by[id])) for id in order]


def verdicts(judged: Sequence[tuple[Candidate, bool]], names: Sequence[str]) -> list[Verdict]:
    """Return a verdict on each model, the best first. Pictures that were not judged don't count."""
    queries = list(dict.fromkeys(candidate.query for candidate, _ in judged))
    counts = {name: {query: [0, 0] for query in queries} for name in names}
    for candidate, is_right in judged:
        for name in candidate.found_by:
            counts[name][candidate.query][0] += is_right
            counts[name][candidate.query][1] += 1
    shares = {
        name: np.array([right / shown if shown else 0.0 for right, shown in held.values()])
        for name, held in counts.items()
    }
    best = max(names, key=lambda name: shares[name].mean() if queries else 0.0)
    found = [
        Verdict(
            name,
            float(shares[name].mean()) if queries else 0.0,
            sum(right for right, _ in counts[name].values()),
            sum(shown for _, shown in counts[name].values()),
            1.0 if name == best or not queries else _luck(shares[best] - shares[name]),
        )
        for name in names
    ]
    return sorted(found, key=lambda verdict: (-verdict.right, verdict.name != best))


def _luck(differences: NDArray[np.float64]) -> float:
    """Return the two-sided probability of a mean difference at least this large, if each query's
    sign were random.
    """
    count = len(differences)
    if count <= EXACT_UP_TO:
        signs = np.array(list(product((1, -1), repeat=count)))
    else:
        signs = np.random.default_rng(0).choice((1, -1), (FLIPS, count))
    sums = np.abs(signs @ differences)
    return float((sums >= abs(differences.sum()) - 1e-9).mean())
