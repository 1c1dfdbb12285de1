"""Relevance: one scale for all queries, in words, cut where nothing matches; and its figures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks import relevance as measured
from clipmodel.pretrained import resolve
from retrieval import InvalidQuery, Library
from retrieval.cli.main import cli
from retrieval.locate import FILE_NAME, beside
from retrieval.records import ModelRecord
from retrieval.search import relevance
from retrieval.search.relevance import (
    FITTED,
    Calibration,
    calibration_of,
    label_scale_of,
    measured_of,
    strength,
    why_silent,
)
from tests.retrieval.catalog.test_migration import as_of_version_1
from tests.retrieval.small import DATA

CURVE = Calibration(hubness_weight=0.5, sharpness=400.0, slope=70.0, count_slope=0.6, offset=-11.0)


def test_it_rises_with_the_score_and_falls_with_the_number_of_pictures() -> None:
    rising = [CURVE.relevance(left, 100) for left in np.linspace(-1, 1, 50)]
    assert rising == sorted(rising) and 0 <= rising[0] < 0.01 < 0.99 < rising[-1] <= 1
    crowds = [CURVE.relevance(0.2, count) for count in (0, 1, 10, 1_000, 10**9)]
    assert crowds[0] == crowds[1] > crowds[2] > crowds[3] == crowds[4]


def test_it_is_said_in_words() -> None:
    assert [strength(each) for each in (1.0, 0.8, 0.79, 0.5, 0.49, 0.0)] == [
        *("strong", "strong", "fair", "fair", "weak", "weak")
    ]


def record(name: str, digest: str = "0" * 64) -> ModelRecord:
    return ModelRecord(1, name, digest, 8, "fp32")


def test_only_a_model_that_was_measured_on_short_queries_too_claims_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, digest = {"auroc": 0.8, "right": 0.9}, "ab" * 32
    held = {"curve": CURVE._asdict(), "label_scale": 5.0, "captions": good, "short": good}
    table = {
        "known": held | {"digest": digest},
        "named": held | {"digest": None},
        "captions alone": held | {"digest": None, "short": None},
        "short alone": held | {"digest": None, "captions": None},
        "unsure": held | {"digest": None, "short": good | {"auroc": 0.79}},
        "wrong": held | {"digest": None, "captions": good | {"right": 0.89}},
    }
    monkeypatch.setattr(relevance, "FITTED", tmp_path / "calibration.json")
    relevance.FITTED.write_text(json.dumps(table))
    relevance._measured.cache_clear()
    try:
        assert calibration_of(record("/any/path", digest)) == CURVE
        assert calibration_of(record("named")) == CURVE
        for name in ("captions alone", "short alone", "unsure", "wrong", "known", "new"):
            assert calibration_of(record(name)) is None, name
        assert "AUROC 0.79 on short queries" in why_silent(record("unsure"))
        assert "was not measured on short queries" in why_silent(record("captions alone"))
        scales = [label_scale_of(record(name), 80) for name in ("named", "wrong", "known", "new")]
        assert scales == [5.0, 5.0, 80, 80]
        assert label_scale_of(record("new"), 80, 0.05) == 80
        assert label_scale_of(record("new"), 80, 0.1) == pytest.approx(41), "too sure"
        assert label_scale_of(record("new"), float("inf")) == 100
        assert label_scale_of(record("named"), 80, 0.05) == 5.0
    finally:
        relevance._measured.cache_clear()


def test_what_is_in_the_table() -> None:
    for name, held in json.loads(FITTED.read_text()).items():
        curve = held["curve"]
        assert curve["slope"] > 0 and curve["count_slope"] >= 0 and curve["sharpness"] > 0
        assert held["captions"]["auroc"] > 0.5 and held["label_scale"] > 0, name
    tiny = resolve("tiny")
    assert (measured := measured_of(record("tiny", tiny.digest))) and measured.short
    assert measured.holds or calibration_of(record("tiny", tiny.digest)) is None
    assert label_scale_of(record("tiny", tiny.digest), 20.0) == measured.label_scale


def test_hits_that_come_near_the_first_speak_for_it() -> None:
    soft, hubness = CURVE._replace(sharpness=20.0), np.full(3, 0.2)
    for curve in (CURVE, soft):
        alone = curve.evidence(np.array([0.4, -1.0, -1.0]), hubness)
        assert alone == pytest.approx(0.4 - 0.5 * 0.2, abs=1e-6)
        assert alone < curve.evidence(np.array([0.4, 0.39, 0.1]), hubness)
    close = np.array([[0.4, 0.39, 0.38], [0.4, 0.3, 0.3]])
    assert np.diff(soft.evidence(close, np.zeros((2, 3)))) < -0.01
    assert CURVE.evidence(close, np.zeros((2, 3)))[1] == pytest.approx(0.4, abs=1e-4)


@pytest.mark.skipif(not DATA.exists(), reason="the reference data is not here")
@pytest.mark.parametrize("name", ["ViT-B/32", pytest.param("tiny", marks=pytest.mark.slow)])
def test_it_beats_the_cosine(name: str) -> None:
    splits = measured.vit_splits(40) if name == "ViT-B/32" else measured.tiny_splits(12)
    found = measured.figures([measured.tried(*each) for each in enumerate(splits)])
    assert found["R@1"] > found["R@1 by cosine"] + {"ViT-B/32": 0.02, "tiny": 0.002}[name]
    if name == "tiny":
        return  # it claims no relevance
    assert found["AUROC"] > found["AUROC by cosine"] + found["± of the gain"]
    assert found["error at our cut-off"] < found["error by the best constant cosine"] - 0.005


def test_the_measures() -> None:
    scores, truths = np.array([0.1, 0.4, 0.35, 0.8], np.float32), np.array([0, 0, 1, 1], np.bool_)
    assert measured.auroc(scores, truths) == 0.75 and measured.least_error(scores, truths) == 0.25


def test_a_curve_is_found_again() -> None:
    generator = np.random.default_rng(0)
    cosines = generator.normal(0.2, 0.05, (20_000, 1)).astype(np.float32)
    hubness = generator.normal(0, 0.05, (20_000, 1)).astype(np.float32)
    asked = measured.Asked(cosines[:, 0], cosines, hubness, np.ones(20_000, np.bool_), 50)
    there = generator.random(20_000) < asked.chances(CURVE)
    curve = measured.fitted([replace(asked, is_there=there)])
    assert curve.slope == pytest.approx(70, rel=0.1) and curve.hubness_weight == 0.5


# -- in a search ---------------------------------------------------------------------------------


def typed(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["search", *map(str, arguments), "--library", "photos"])
    assert result.exit_code == 0, result.output
    return result


NEVER = Calibration(hubness_weight=0.5, sharpness=400.0, slope=1.0, count_slope=0.1, offset=-9.0)


@pytest.fixture
def hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is relevant."""
    monkeypatch.setattr("retrieval.search.answer.calibration_of", lambda model: NEVER)


@pytest.fixture
def half(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The relevances, when about half of the pictures are relevant."""
    with Library.open("photos") as library:
        lefts = sorted(hit.score for hit in library.search("x", 100, rank="cosine"))
    curve = Calibration(0.0, 1e6, 40.0, 0.0, -40.0 * (lefts[5] + lefts[6]) / 2)
    monkeypatch.setattr("retrieval.search.answer.calibration_of", lambda model: curve)
    monkeypatch.setattr("retrieval.search.answer.HUBNESS_WEIGHT", 0.0)
    with Library.open("photos") as library:
        return [match.relevance or 0.0 for match in library.search("x", 100)]


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody measured the model."""
    monkeypatch.setattr("retrieval.search.answer.calibration_of", lambda model: CURVE)


def test_a_model_that_was_not_measured_claims_nothing(indexed: Path) -> None:
    result = typed("a red car", "--json")
    assert result.stderr == ""
    assert [each["relevance"] for each in json.loads(result.stdout)] == 10 * [None]
    assert "\t-\t" in typed("a red car").stdout
    refused = CliRunner().invoke(
        cli, ["search", "x", "--min-relevance", "0.5", "--library", "photos"]
    )
    assert refused.exit_code == 2 and "was not measured on short queries" in refused.stderr
    with Library.open("photos") as library:
        best = library.search("x", 4)
        by_date = library.search("x", 4, sort="date")  # the newest first of the same
        assert {match.path for match in best} == {match.path for match in by_date}


def test_on_a_terminal_they_are_best_guesses(
    indexed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from retrieval.cli.search import _say_that_they_are_guesses
    from retrieval.models.choice import better_than
    from retrieval.search.parse import parse

    _say_that_they_are_guesses(parse("a dog"), record("tiny", resolve("tiny").digest))
    said = capsys.readouterr().err
    better = "for a better model run `retrieve index --model datacomp-b32-256`"
    assert said.startswith(f"these are best guesses; {better}")
    _say_that_they_are_guesses(parse("a dog"), record("ViT-B/32"))
    assert capsys.readouterr().err == "these are best guesses\n"
    for name in ("tiny", "tiny-2"):
        assert better_than(name) == "datacomp-b32-256"
    _say_that_they_are_guesses(parse("a dog - a cat"), record("ViT-B/32"))
    assert capsys.readouterr().err == ""


def test_matches_in_words_bear_it_and_others_do_not(indexed: Path, calibrated: None) -> None:
    with Library.open("photos") as library:
        words = library.search("a red car", 100)
        assert all(match.relevance is not None for match in words)
        for other in (indexed / "small/blue.png", "a - b", "a + ./photos/small/blue.png"):
            assert all(match.relevance is None for match in library.search(other))
        by_cosine = library.search("a red car", 100, rank="cosine")
        scores = [match.score for match in by_cosine]
        assert scores == sorted(scores, reverse=True)
        assert {m.path: m.relevance for m in words} == pytest.approx(
            {m.path: m.relevance for m in by_cosine}, abs=1e-4
        )


def test_nothing_looks_like_it(indexed: Path, hopeless: None) -> None:
    result = typed("a red car", "--paths", "-n", 3)
    assert result.stderr == "nothing in this library looks like “a red car”; the closest:\n"
    assert len(result.stdout.splitlines()) == 3  # and are shown as such
    result = typed("a red car", "--min-relevance", 0.5)
    assert result.stdout == "" and result.stderr.startswith("no match: the best score is")
    assert "a relevance of 0.00" in result.stderr


def test_something_does(indexed: Path, half: list[float]) -> None:
    assert half == sorted(half, reverse=True) and half[0] > 0.5 > half[-1]
    relevant = sum(each >= 0.5 for each in half)
    result = typed("x", "--min-relevance", 0.5, "-n", 100)
    assert result.stderr == "" and len(result.stdout.splitlines()) == relevant
    words = [line.split("\t")[1] for line in typed("x", "-n", 100).stdout.splitlines()]
    assert words == [strength(each) for each in half]
    shown = json.loads(typed("x", "--json", "-n", 100).stdout)
    assert [each["relevance"] for each in shown] == pytest.approx(half, abs=1e-4)
    assert len(json.loads(typed("x", "--json", "--sort", "date").stdout)) == relevant
    with Library.open("photos") as library:
        assert len(library.search("x", 100, min_relevance=0.5)) == relevant


def test_an_older_library_is_ranked_by_cosine_until_it_is_brought_up_to_date(
    indexed: Path, calibrated: None
) -> None:
    as_of_version_1(beside(indexed) / FILE_NAME)
    for file in beside(indexed).glob("*.faiss"):
        file.unlink()
    with Library.open("photos") as library:
        matches = library.search("x", 100)
        assert len(matches) == 12 and all(match.relevance is None for match in matches)
        assert matches == library.search("x", 100, rank="cosine")
        with pytest.raises(InvalidQuery, match="retrieve index"):
            library.search("x", min_relevance=0.5)
        assert library.index(workers=0).encoded == 0
        assert all(match.relevance is not None for match in library.search("x", 100))


def test_it_does_not_depend_on_how_many_are_asked_for(indexed: Path, calibrated: None) -> None:
    with Library.open("photos") as library:
        many = library.search("a red car", 100)
        for limit in (1, 2, 11):
            few = library.search("a red car", limit)
            assert [match.path for match in few] == [match.path for match in many[:limit]]
            assert [match.relevance for match in few] == pytest.approx(
                [match.relevance for match in many[:limit]], rel=1e-5
            )  # float32 sums, in another order, of which the curve makes 70 times as much
        relevances = [match.relevance or 0.0 for match in many]
        assert relevances == sorted(relevances, reverse=True)


def test_what_makes_no_sense(indexed: Path, calibrated: None) -> None:
    with Library.open("photos") as library:
        for wrong in (-0.1, 1.1, float("nan")):
            with pytest.raises(InvalidQuery, match="between 0 and 1"):
                library.search("x", min_relevance=wrong)
        with pytest.raises(InvalidQuery, match="plain-text queries"):
            library.search(indexed / "small/blue.png", min_relevance=0.5)
    assert relevance.STRONG > relevance.FAIR
