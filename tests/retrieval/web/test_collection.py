"""The library as a whole: status, folders, facets, failures, and index runs from the page."""

import json
import os
import shutil
from pathlib import Path

from click.testing import CliRunner
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.catalog.lock import write_lock
from retrieval.cli.main import cli
from retrieval.records import Progress
from retrieval.web.state import Site
from tests.retrieval.conftest import Models, paint
from tests.retrieval.web.conftest import asked
from tests.retrieval.web.test_pictures import eventually


def test_status_is_that_of_the_command_line(client: TestClient) -> None:
    shown = CliRunner().invoke(cli, ["status", "--json", "--library", "photos"])
    expected, held = json.loads(shown.stdout), client.get("/api/status").json()
    for key in (
        "library",
        "model",
        "better_model",
        "files",
        "images",
        "embedded",
        "failures",
        "bytes",
        "indexing",
    ):
        assert held[key] == expected[key], key
    assert [root["present"] for root in held["roots"]] == [True]
    assert held["can_index"] and not held["allow_url"] and held["indexing"] is None


def test_folders_facets_and_failures(client: TestClient, indexed: Path) -> None:
    folders = {Path(held["path"]): held["files"] for held in client.get("/api/folders").json()}
    assert folders == {indexed: 13, indexed / "large": 6, indexed / "small": 7}
    facets = client.get("/api/facets").json()
    assert facets == {
        "cameras": [], "formats": [{"name": "PNG", "images": 12}], "first": None, "last": None,
    }  # fmt: skip
    failures = client.get("/api/failures").json()
    assert failures["total"] == 1
    assert failures["failures"][0]["path"] == str(indexed / "notes.jpg")
    assert failures["failures"][0]["code"] == "not_a_picture"
    assert client.get("/api/failures", params={"offset": 1}).json()["failures"] == []


def test_a_run_from_the_page(client: TestClient, indexed: Path, home: Path) -> None:
    paint(indexed / "new.png", "red", 99)
    paint(home / "more/other.png", "blue", 98)
    assert client.post("/api/index").status_code == 202
    eventually(lambda: "1 new" in (client.get("/api/status").json()["last_run"] or ""))
    assert client.post("/api/index", json={"paths": ["more"]}).status_code == 202
    eventually(lambda: len(client.get("/api/status").json()["roots"]) == 2)
    wrong = client.post("/api/index", json={"paths": ["nowhere"]})
    assert wrong.status_code == 400 and "nowhere" in wrong.json()["error"]
    assert client.post("/api/index", json={"paths": "more"}).status_code == 422
    assert client.delete("/api/index").status_code == 202


def test_a_run_that_fails_says_why(home: Path, indexed: Path, models: Models) -> None:
    model = shutil.copytree(models.small, home / "model")
    library = Library.open(home / "library", model=model)
    library.index(indexed / "large", workers=0)
    os.truncate(model / "vision.safetensors", 100_000)
    site = Site(library)
    for client in asked(site):
        client.post("/api/index", json={"paths": [str(indexed / "small")]})
        eventually(lambda: "is damaged" in (site.index_jobs.last or ""))


def test_a_run_elsewhere_is_seen(client: TestClient, site: Site) -> None:
    with write_lock(site.library.folder) as tell:
        assert client.get("/api/status").json()["indexing"] is None  # it has said nothing yet
        eventually(
            lambda: bool(tell(Progress(3, 10, 2)) or client.get("/api/status").json()["indexing"])
        )
        told = client.get("/api/status").json()["indexing"]
        assert (told["done"], told["total"], told["encoded"]) == (3, 10, 2)
        busy = client.post("/api/index")
        assert busy.status_code == 409 and "already running" in busy.json()["error"]
    assert client.get("/api/status").json()["indexing"] is None


def test_what_a_killed_run_left_is_no_run(client: TestClient, site: Site) -> None:
    holder = site.library.folder / "write.holder"
    holder.write_text(json.dumps({"pid": 1, "progress": [1, 2, 1, 5.0]}))
    assert client.get("/api/status").json()["indexing"] is None
    assert not holder.exists()


def test_an_empty_path_is_no_folder_to_index(client: TestClient) -> None:
    for paths in ([""], ["photos", ""]):
        answer = client.post("/api/index", json={"paths": paths})
        assert answer.status_code == 400 and "the path is empty" in answer.json()["error"]
    assert client.get("/api/search", params={"q": "red", "in": ""}).status_code == 400
    assert client.get("/api/status").json()["last_run"] is None
