from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.evaluation.cut_off import cut_off_of
from retrieval.evaluation.judging import Candidate, pooled, verdicts
from retrieval.evaluation.measures import measured, resampled, share_better
from retrieval.evaluation.ranks import Page, Placed, ranked
from retrieval.records import Image, Match
from retrieval.search.relevance import Calibration


def unit(count: int, dim: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clip_benchmark_recall(scores: NDArray[np.float32], right: NDArray[np.bool_], k: int) -> float:
    """As clip_benchmark's image_retrieval_recall@k: any right one among the first k."""
    first = np.argsort(-scores, axis=1)[:, :k]
    return float(np.take_along_axis(right, first, axis=1).any(axis=1).mean())


def test_recall_is_that_of_clip_benchmark_in_both_directions() -> None:
    pictures, owners = unit(40, 16, 1), np.repeat(np.arange(40), 5)
    texts = pictures[owners] + unit(200, 16, 2) * 4
    texts = (texts / np.linalg.norm(texts, axis=1, keepdims=True)).astype(np.float32)
    right = owners[:, None] == np.arange(40)
    pages = [Page(np.arange(40)[part], pictures[part], np.zeros(20, np.float32))
             for part in (slice(0, 20), slice(20, 40))]  # fmt: skip
    found = ranked(texts, [np.array([owner]) for owner in owners], lambda: iter(pages))
    there = measured(found.ranks, owners)
    every = Page(np.arange(200), texts, np.zeros(200, np.float32))
    back = measured(
        ranked(
            pictures, [np.flatnonzero(owners == n) for n in range(40)], lambda: iter([every])
        ).ranks,
        np.arange(40),
    )
    scores = texts @ pictures.T
    for k in (1, 5, 10):
        assert there.recall[k].value == pytest.approx(clip_benchmark_recall(scores, right, k))
        assert back.recall[k].value == pytest.approx(clip_benchmark_recall(scores.T, right.T, k))
    assert there.recall[1].low <= there.recall[1].value <= there.recall[1].high
    assert 0 < there.recall[1].value < there.recall[10].value < 1


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
