import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from retrieval import Library
from retrieval.cli.main import cli
from retrieval.errors import InvalidQuery, InvalidValue, ModelMismatch
from retrieval.search.options import SearchOptions
from retrieval.search.using import fused
from tests.retrieval.conftest import Models, paint


def retrieve(*args: str | Path, typed: str = "", code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(arg) for arg in args], input=typed)
    assert result.exit_code == code, result.output + result.stderr
    return result


@pytest.fixture
def library(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library of the pictures, which knows the small model."""
    monkeypatch.chdir(indexed)
    return indexed / ".retrieve"


@pytest.fixture
def captions(library: Path) -> Path:
    """A caption for each of the pictures; the first names one that is not there."""
    photos = sorted(library.parent.glob("*/*.png"))
    lines = [f"{photo.relative_to(library.parent)},a {photo.stem} spot" for photo in photos]
    file = library.parent / "captions.csv"
    file.write_text("\n".join(["path,caption", "gone.png,nothing", *lines]))
    return file


def test_models_side_by_side(library: Path, models: Models) -> None:
    with Library.open(library) as opened:
        before = [match.image.id for match in opened.search("a red spot", 12)]
        summary = opened.index(model=models.other, also=True)
        assert summary.encoded == 12 and opened.model is not None
        assert opened.model.name == str(models.small), "the library's model stays current"
        assert [match.image.id for match in opened.search("a red spot", 12)] == before
        paint(library.parent / "large" / "new.png", "red", 99)
        assert opened.index().encoded == 2, "a new picture is encoded by both"
        [other] = opened.status().others
        assert other.keeps_up and other.embedded == 13
        found = opened.search("a red spot", 13, using=str(models.other))
        assert len(found) == 13
        assert [m.score for m in found] != [m.score for m in opened.search("a red spot", 13)]
        fused_together = opened.search("a red spot", 13, using="all")
        assert {m.image.id for m in fused_together} == {m.image.id for m in found}
        assert all(0 < m.score <= 1 and m.relevance is None for m in fused_together)
        assert opened.forget_model(models.other) == 13
        with pytest.raises(ModelMismatch, match="--also"):
            opened.search("a red spot", using=str(models.other))
        assert opened.index().encoded == 0


def test_what_both_models_find_first_is_first(library: Path, models: Models) -> None:
    with Library.open(library) as opened:
        opened.index(model=models.other, also=True)
        query = Image.open(library.parent / "large" / "blue.png")
        [best, *_] = opened.search(query, 3, using="all")
        assert best.path == library.parent / "large" / "blue.png" and best.score == 1
        with pytest.raises(InvalidQuery, match="belongs to one model"):
            opened.search("a", using="all", min_score=0.1)


def test_fusion_by_hand(library: Path) -> None:
    with Library.open(library) as opened:
        a, b, c = opened.search("a", 3)
    found = fused([[a, b], [c, a]], SearchOptions(limit=2))
    assert [match.image.id for match in found] == [a.image.id, c.image.id]
    assert found[0].score == pytest.approx((1 / 61 + 1 / 62) * 61 / 2)
    assert fused([[a, b], [c, a]], SearchOptions(limit=2, offset=2))[0].image == b.image


def test_also_needs_a_model(library: Path) -> None:
    with Library.open(library) as opened, pytest.raises(InvalidValue, match="needs a model"):
        opened.index(also=True)


def test_eval_compares_the_models_of_a_library(captions: Path, models: Models) -> None:
    retrieve("index", "--model", models.other, "--also")
    said = retrieve("eval", captions).stdout
    assert said.startswith("13 captions of 12 pictures, each searched among 12 (1 picture not in")
    assert str(models.small) in said and str(models.other) in said and "sure" in said
    held = json.loads(retrieve("eval", captions, "--json").stdout)
    assert (held["captions"], held["pictures"], held["among"], held["missing"]) == (13, 12, 12, 1)
    first, second = held["models"]
    recall = first["text_to_image"]["recall@10"]
    assert 0 <= recall["low"] <= recall["value"] <= recall["high"] <= 1
    assert first["text_to_image"]["queries"] == 13 and first["image_to_text"]["queries"] == 12
    assert recall["value"] >= second["text_to_image"]["recall@10"]["value"]
    assert first["images_per_second"] > 0 and first["vector_bytes"] == 48


def test_eval_encodes_a_sample_with_models_that_the_library_lacks(
    captions: Path, models: Models
) -> None:
    plot = captions.parent / "recall.png"
    names = f"{models.small},{models.other}"
    held = retrieve("eval", captions, "--models", names, "--sample", "5", "--plot", plot, "--json")
    assert json.loads(held.stdout)["among"] == 5
    with Image.open(plot) as drawn:
        assert drawn.format == "PNG" and drawn.width > 800
    with Library.open(captions.parent / ".retrieve") as opened:
        assert [model.name for model in opened.catalog.models()] == [str(models.small)]


def test_a_sample_is_measured_as_what_is_held(captions: Path, models: Models) -> None:
    """A picture that is encoded for the comparison is encoded as an index run does."""
    retrieve("index", "--model", models.other, "--also")
    held = json.loads(retrieve("eval", captions, "--models", models.other, "--json").stdout)
    retrieve("forget", "--model", models.other)
    sampled = json.loads(retrieve("eval", captions, "--models", models.other, "--json").stdout)
    expected, found = (each["models"][0]["text_to_image"] for each in (held, sampled))
    # Batches of other sizes may round a vector up or down, and of two that tie another is first.
    precision, other = (each.pop("mean_average_precision") for each in (expected, found))
    assert found == expected and other == pytest.approx(precision, abs=0.01)


def test_a_model_is_not_judged_against_itself(captions: Path, models: Models) -> None:
    names = f"{models.small},{models.small}"
    said = retrieve("eval", "--judge", "--models", names, "--query", "red", code=1)
    assert "judging compares two models" in said.stderr


def test_judging(captions: Path, models: Models) -> None:
    retrieve("index", "--model", models.other, "--also")
    done = retrieve("eval", "--judge", "--query", "red", "--query", "blue", typed="y\n" * 30)
    assert "cannot be told apart by 2 queries" in done.stdout
    held = retrieve("eval", "--judge", "--json", typed="red\n\n" + "n\n" * 30)
    start = held.stdout.index("{")
    assert [model["right"] for model in json.loads(held.stdout[start:])["models"]] == [0, 0]
    stopped = retrieve("eval", "--judge", "--query", "red", typed="q\n", code=2)
    assert "nothing was judged" in stopped.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "either a file of captions or --judge"),
        (["captions.csv", "--judge"], "either a file of captions or --judge"),
        (["captions.csv", "--query", "a"], "--query goes with --judge"),
        (["captions.csv", "--plot", "a.gif"], "ends in .png"),
        (["--judge"], "judging compares two models"),
        (["empty.csv"], "holds no captions"),
        (["others.csv"], "the library has none of the pictures that"),
        (["--judge", "--models", "nonesuch"], "has no embeddings of 'nonesuch'"),
        (["splits.csv"], "but of train; choose with --split"),
        (["."], "is a folder; give a file of captions"),
    ],
)
def test_mistakes(captions: Path, args: list[str], said: str) -> None:
    (captions.parent / "empty.csv").write_text("path,caption\n")
    (captions.parent / "others.csv").write_text("path,caption\nx.png,a\n")
    (captions.parent / "splits.csv").write_text("path,caption,split\nx.png,a,train\n")
    code = 1 if said.startswith(("judging", "has no")) else 2
    result = retrieve("eval", *args, code=code)  # nothing is asked before
    assert said in result.stderr
