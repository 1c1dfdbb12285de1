"""A library whose model has other towers than CLIP's: all that a user does works as before."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clipmodel.model_folder import ModelFolder
from retrieval import Library
from tests.clipmodel.small import BERT_CONFIG, EFFICIENTNET_CONFIG, saved
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[2]
PAIRS = {
    "efficientnet and clip": EFFICIENTNET_CONFIG,
    "efficientnet and bert": replace(EFFICIENTNET_CONFIG, text=BERT_CONFIG.text),
}


@pytest.fixture(scope="session", params=PAIRS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    config = PAIRS[request.param]
    return saved(tmp_path_factory.mktemp("families") / "m", config, dtype="float16")


def test_a_library_is_made_and_searched(model: ModelFolder, photos: Path, tmp_path: Path) -> None:
    with Library.open(tmp_path / "library", model.path) as library:
        assert library.index(photos, workers=0).new == 12
        assert len(library.search("a red car", limit=20)) == 12
        new = library.search(paint(tmp_path / "new.png", "red", 99), limit=3)
        assert new[0].score > 0.5
        known = library.search(photos / "large" / "red.png", limit=1)
        assert known[0].score == pytest.approx(1, abs=0.01)
        assert len(library.similar(photos / "large" / "red.png", limit=3)) == 3
        assert [*library.tag([photos / "large"], ["a red car", "a dog"])]


def test_a_search_by_words_or_a_new_picture_needs_no_torch(
    model: ModelFolder, photos: Path, tmp_path: Path
) -> None:
    with Library.open(tmp_path / "library", model.path) as library:
        library.index(photos, workers=0)
    new = paint(tmp_path / "new.png", "blue", 98)
    program = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    program += "from retrieval.cli.main import main; main()"
    for query in ("a red car", str(new)):
        command = [sys.executable, "-c", program, "search", query]
        command += ["--library", str(tmp_path / "library")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        assert "photos" in ran.stdout
        assert not {"torch", "safetensors", "sqlalchemy"} & set(ran.stderr.split())
