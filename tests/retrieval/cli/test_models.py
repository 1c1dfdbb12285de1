"""The models that have a name, in any spelling, and the one that a new library gets."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clipmodel import pretrained
from retrieval.models import speeds
from retrieval.models.choice import DEFAULT
from tests.retrieval.cli.test_cli import ok, refused
from tests.retrieval.conftest import Models, paint, save_model

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def offline(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A user who has chosen no model, and nothing in the hub's cache."""
    from huggingface_hub import close_session

    monkeypatch.delenv("RETRIEVE_MODEL")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
    close_session()  # it keeps the proxies of its start
    yield
    close_session()


def test_the_table(indexed: Path, models: Models) -> None:
    lines = ok("models").splitlines()
    cells = {line.split()[0]: line.split() for line in lines if line}
    assert cells["ViT-B/32"] == (
        "ViT-B/32 CLIP 353 MB 224 512 English MIT 0.588 0.304 - needs download".split()
    )
    assert cells["metaclip-b32"][7:-3] == "CC BY-NC 4.0 (non-commercial) 0.651 0.381".split()
    assert "see its card" in " ".join(cells["datacomp-l14"])
    assert cells["tiny"][-1] == "bundled"
    assert " ".join(cells[str(models.small)][-3:]) == "cached (the default)"
    ok("index", "--model", models.other, "--workers", 0, "--library", indexed)
    [line] = [
        line
        for line in ok("models", "--library", indexed).splitlines()
        if "library’s" in line or "library's" in line
    ]
    assert line.startswith(f"{models.other}  ")


def test_for_programs(indexed: Path) -> None:
    found = {each["name"]: each for each in json.loads(ok("models", "--json"))}
    assert found["siglip2-b32-256"] == {
        "name": "siglip2-b32-256",
        "family": "SigLIP 2",
        "state": "needs download",
        "default": False,
        "current": False,
        "fetch_bytes": 1_507_440_000,
        "image_size": 256,
        "dimensions": 768,
        "languages": "many",
        "licence": "Apache 2.0",
        "commercial_use": True,
        "recall": {"flickr30k": None, "coco": 0.472},
        "images_per_second": None,
    }
    assert found["dfn2b-b16"]["commercial_use"] is False
    assert found["datacomp-l14"]["licence"] is None


def test_how_quick_a_model_was_here(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "LEAST_MEASURED", 1)
    ok("index", "--again", "--workers", 0, "--library", indexed)
    ok("index", "--model", "tiny", "--workers", 0, "--library", indexed)
    [tiny] = [each for each in json.loads(ok("models", "--json")) if each["name"] == "tiny"]
    assert tiny["images_per_second"] > 0
    (pretrained.models_folder() / "speeds.json").write_text("[]")  # and a damaged note is none
    assert json.loads(ok("models", "--json"))[0]["images_per_second"] is None


@pytest.mark.usefixtures("offline")
def test_without_a_network_a_new_library_uses_what_is_here(
    base: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paint(base / "photos" / "red.png", "red", 0)
    ok("index", base / "photos", "--workers", 0, "--library", base / "first")
    assert caplog.messages == [
        f"using the small bundled model 'tiny' instead of {DEFAULT}: cannot reach the Hugging Face "
        f"hub: Connection refused; to switch later, run `retrieve index --model {DEFAULT}`"
    ]
    save_model(home / "models" / "ViT-B-32", "ViT-B/32", 3)  # fetched when there was a network
    ok("index", base / "photos", "--workers", 0, "--library", base / "second")
    assert f"using 'ViT-B/32' instead of {DEFAULT}: cannot" in caplog.messages[-1]
    for spelling in ("ViT-B/32", "vit_b_32", "openai/clip-vit-base-patch32"):
        ok("index", "--model", spelling, "--workers", 0, "--library", base / "second")
        assert '"ViT-B/32"' in ok("status", "--json", "--library", base / "second")
        ok("search", "red", "--using", spelling, "--library", base / "second")


@pytest.mark.usefixtures("offline")
def test_a_model_that_cannot_be_fetched(base: Path) -> None:
    paint(base / "photos" / "red.png", "red", 0)
    for name in ("siglip2-b32", "hf:google/siglip2-base-patch32-256"):
        said = refused("index", base / "photos", "--model", name, "--library", base / "none")
        assert said.startswith("error: cannot reach the Hugging Face hub: ") and "http" not in said
    assert not (base / "none").exists()
