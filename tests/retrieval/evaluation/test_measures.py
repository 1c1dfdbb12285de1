from pathlib import Path

import numpy as np
import pytest

from benchmarks.models.evaluation import Vectors, by_formula, ours
from benchmarks.relevance import vit
from retrieval.evaluation.cut_off import cut_off_of
from retrieval.evaluation.judging import Candidate, pooled, verdicts
from retrieval.evaluation.measures import measured, resampled, share_better
from retrieval.evaluation.ranks import Page, Placed, ranked
from retrieval.records import Image, Match
from retrieval.search.relevance import Calibration
from tests.retrieval.small import DATA

# What clip_benchmark 1.6.2 measures on these vectors, six digits of R@1, 5, 10 in each direction:
# PEERS=... python -m benchmarks models.evaluation (benchmarks/README.md says how to install it)
FORMULA = [0.516667, 0.816667, 0.91, 0.883333, 0.966667, 0.983333]
VIT_B_32 = [0.832, 0.99, 0.998, 0.93, 1.0, 1.0]


def test_recall_is_that_of_clip_benchmark_in_both_directions() -> None:
    assert list(ours(by_formula()).values()) == pytest.approx(FORMULA, abs=1e-6)


@pytest.mark.skipif(not DATA.exists(), reason="the reference data is not here")
def test_recall_of_real_vectors_is_that_of_clip_benchmark() -> None:
    assert list(ours(Vectors(*vit())).values()) == pytest.approx(VIT_B_32, abs=1e-6)


def test_recall_does_not_depend_on_the_pages_of_candidates() -> None:
    pictures, captions, own = by_formula()
    none = np.zeros(20, np.float32)
    pages = [Page(np.arange(at, at + 20), pictures[at : at + 20], none) for at in (0, 20, 40)]
    found = ranked(captions, [np.array([each]) for each in own], lambda: iter(pages))
    recall = measured(found.ranks, own).recall
    assert [recall[k].value for k in (1, 5, 10)] == pytest.approx(FORMULA[:3], abs=1e-6)
    assert recall[1].low <= recall[1].value <= recall[1].high


def test_hand_computed_ranks() -> None:
    queries = np.array([[1, 0]], np.float32)
    vectors = np.array([[0.9, 0], [1, 0], [0.8, 0], [0.7, 0]], np.float32)
    hubness = np.array([0, 0.15, 0, 0], np.float32)  # scores .9, .85, .8, .7
    page = Page(np.array([3, 5, 6, 9]), vectors, hubness)
    found = ranked(queries, [np.array([6, 9])], lambda: iter([page]))
    assert found.ranks[0].tolist() == [3, 4]
    assert [hit.id for hit in found.best[0]] == [3, 5, 6, 9]
    measures = measured(found.ranks, np.array([0]))
    assert measures.median_rank.value == 3
    assert measures.mean_average_precision.value == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_a_model_that_scores_everything_alike_is_not_perfect() -> None:
    page = Page(np.arange(1, 101), np.ones((100, 1), np.float32), np.zeros(100, np.float32))
    queries = np.ones((100, 1), np.float32)
    found = ranked(queries, [np.array([id]) for id in range(1, 101)], lambda: iter([page]))
    assert sorted(int(rank[0]) for rank in found.ranks) == [*range(1, 101)]


def test_captions_of_a_picture_are_drawn_together() -> None:
    for sample in resampled(np.array([7, 7, 3, 3, 3]))[:50]:
        counts = np.bincount(sample, minlength=5)
        assert counts[0] == counts[1] and counts[2] == counts[3] == counts[4]
        assert counts[0] + counts[2] == 2


def test_how_sure_one_model_is_better() -> None:
    good = [np.array([1])] * 50
    bad = [np.array([99])] * 50
    assert share_better(good, bad, np.arange(50)) == 1
    assert share_better(good, good, np.arange(50)) == 0.5


def test_the_cut_off() -> None:
    curve = Calibration(0.5, 400.0, 100.0, 0.0, -25.0)  # relevant from a cosine of 0.25
    high, low = Placed(0.5, 0.0, 1), Placed(0.05, 0.0, 2)
    error = cut_off_of(curve, [[high, low], [low, low]], [np.array([1]), np.array([9])], 10)
    assert (error.missed, error.claimed) == (0.5, 0.0)
    error = cut_off_of(curve, [[high, high._replace(id=3)]], [np.array([1])], 10)
    assert (error.missed, error.claimed) == (0.0, 1.0)


# -- judged by someone ---------------------------------------------------------------------------


def match(id: int) -> Match:
    image = Image(id, 1, 1, "PNG", None)
    return Match(Path(f"{id}.png"), 0.1, image)


def test_results_are_pooled_once_and_in_an_order_that_tells_nothing() -> None:
    results = {"a": [match(1), match(2)], "b": [match(2), match(3)]}
    pool = pooled("a dog", results)
    assert sorted(each.match.image.id for each in pool) == [1, 2, 3]
    assert {each.match.image.id: each.found_by for each in pool}[2] == {"a", "b"}
    swapped = pooled("a dog", {"b": results["b"], "a": results["a"]})
    assert [each.match.image.id for each in swapped] == [each.match.image.id for each in pool]


def test_the_verdict_and_how_likely_it_is_luck() -> None:
    judged: list[tuple[Candidate, bool]] = []
    for number in range(10):
        query = f"query {number}"
        judged.append((Candidate(query, match(1), frozenset({"a"})), True))
        judged.append((Candidate(query, match(2), frozenset({"b"})), False))
    best, other = verdicts(judged, ["b", "a"])
    assert (best.name, best.right, best.found, best.shown) == ("a", 1.0, 10, 10)
    assert other.right == 0 and other.luck == pytest.approx(2 / 2**10)


def test_equal_models_cannot_be_told_apart() -> None:
    judged = [(Candidate("q", match(1), frozenset({"a", "b"})), True)]
    assert [verdict.luck for verdict in verdicts(judged, ["a", "b"])] == [1.0, 1.0]
