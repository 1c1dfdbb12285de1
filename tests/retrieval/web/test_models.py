"""A library with several models, over HTTP: searches by each, and a judgement of them."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from clipmodel.config import ModelConfig, Resize
from clipmodel.model import CLIP
from clipmodel.model_folder import ModelFolder, save_folder
from retrieval import Library
from retrieval.locate import beside
from retrieval.web.state import Site
from tests.retrieval.conftest import Models, paint
from tests.retrieval.web.conftest import asked
from tests.retrieval.web.test_search import answered, are_same, typed


@pytest.fixture(scope="module")
def squashing(models: Models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose pixels are made in another way, and as many of them."""
    config = ModelFolder.open(models.other).config
    return save(tmp_path_factory.mktemp("models") / "squashing", config)


def save(folder: Path, config: ModelConfig) -> Path:
    torch.manual_seed(7)
    config = replace(config, resize=Resize(config.vision.image_size, "squash"))
    save_folder(folder, folder.name, config, CLIP.of(config).state_dict(), "float32")
    return folder


@pytest.fixture(scope="module")
def _both(_indexed: Path, squashing: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    photos = Path(shutil.copytree(_indexed, tmp_path_factory.mktemp("both") / "photos"))
    with Library.open(beside(photos)) as library:
        library.index(model=squashing, also=True, workers=0)
    return photos


@pytest.fixture
def both(home: Path, _both: Path) -> Path:
    return Path(shutil.copytree(_both, home / "photos"))


@pytest.fixture
def client(both: Path) -> Iterator[TestClient]:
    yield from asked(Site(Library.open(beside(both))))


def test_the_status_says_which_models_there_are(
    client: TestClient, models: Models, squashing: Path
) -> None:
    held = answered(client, "/api/status")
    [other] = held["other_models"]
    assert (held["model"], other["model"]) == (str(models.small), str(squashing))
    assert other["embedded"] == 12 and other["keeps_up"] is True


def test_one_of_them_answers_or_all_together(client: TestClient, squashing: Path) -> None:
    for using in (str(squashing), "all"):
        found = answered(client, q="a red spot", using=using, limit=5)["matches"]
        assert are_same(found, typed("search", "a red spot", "-n", 5, "--using", using))
    fused = answered(client, q="a red spot", using="all")
    assert not fused["looks_like_nothing"]
    assert {each["strength"] for each in fused["matches"]} == {None}
    pages = [answered(client, q="a", using="all", limit=4, offset=at)["matches"] for at in (0, 4)]
    whole = answered(client, q="a", using="all", limit=8)["matches"]
    assert [each["id"] for page in pages for each in page] == [each["id"] for each in whole]


def test_a_model_is_a_name_never_a_file(client: TestClient, models: Models) -> None:
    for using in (str(models.other), "/etc/passwd", "ViT-B/32", ""):
        refused = client.get("/api/search", params={"q": "a", "using": using})
        assert refused.status_code == 400, using
        assert "\n" not in refused.json()["error"]
    assert "has no embeddings of" in client.get("/api/search?q=a&using=x").json()["error"]
    refused = client.get("/api/search?q=a&using=all&min_score=0.1")
    assert refused.status_code == 400 and "belongs to one model" in refused.json()["error"]


def test_an_upload_is_prepared_for_each_of_them(
    client: TestClient, both: Path, squashing: Path, tmp_path: Path
) -> None:
    """A new picture that is no square, so that cropped and squashed pixels differ."""
    new = paint(tmp_path / "new.png", "red", 99)
    key = client.post("/api/uploads", content=new.read_bytes()).json()["key"]
    for using in (None, str(squashing), "all"):
        said = {"using": using} if using else {}
        found = answered(client, q=f"upload:{key}", limit=12, **said)["matches"]
        with Library.open(beside(both)) as library:
            expected = library.search(new, 12, using=using)
        assert [each["id"] for each in found] == [match.image.id for match in expected]
        scores = [match.score for match in expected]
        assert [each["score"] for each in found] == pytest.approx(scores, abs=1e-4)


def test_judging(client: TestClient, models: Models, squashing: Path) -> None:
    answers: list[dict[str, Any]] = []
    right = {
        each["id"] for each in answered(client, q="red", using=str(squashing), limit=5)["matches"]
    }
    for query in ("red", "blue"):
        held = answered(client, "/api/judging", q=query)
        assert held["models"] == [str(models.small), str(squashing)] and held["query"] == query
        assert 5 <= len(held["pictures"]) <= 10
        assert {each["score"] for each in held["pictures"]} == {None}, "they would tell"
        assert held == answered(client, "/api/judging", q=query), "the order stays"
        answers += [
            {"query": query, "picture": each["id"], "right": query == "red" and each["id"] in right}
            for each in held["pictures"]
        ]
    answers.append({"query": "red", "picture": 9_999, "right": True})  # gone since
    told = client.post("/api/judging", json={"answers": answers})
    assert told.status_code == 200, told.text
    first, second = told.json()["models"]
    assert first["model"] == str(squashing) and first["right"] == 0.5
    assert (first["found"], first["shown"]) == (5, 10) and second["found"] < 5
    assert told.json()["queries"] == 2 and "by 2 queries" in told.json()["text"][0]


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ([], 400, "1 to 50 queries, not 0"),
        ([{"query": "a", "picture": 1}], 422, "answers.0.right: is required"),
        ([{"query": "a", "picture": 1, "right": 3}], 422, "must be true or false"),
        ([{"query": "a", "pictur": 1, "right": True}], 422, "picture"),
        ([{"query": str(n), "picture": 1, "right": True} for n in range(51)], 400, "not 51"),
        ([{"query": "in:small", "picture": 1, "right": True}], 400, "add a description"),
    ],
)
def test_mistakes(client: TestClient, answers: list[Any], status: int, said: str) -> None:
    refused = client.post("/api/judging", json={"answers": answers})
    assert refused.status_code == status and said in refused.json()["error"], refused.text


def test_one_model_is_nothing_to_judge(indexed: Path) -> None:
    for client in asked(Site(Library.open(beside(indexed)))):
        refused = client.get("/api/judging?q=a")
        assert refused.status_code == 409 and "--also" in refused.json()["error"]
