"""`retrieve demo`: a newcomer's first minute, with the model that is bundled."""

from pathlib import Path

import pytest
from PIL import Image

from retrieval.demo import ASKED, BEYOND_EVALUATION, SCENES, run_demo

pytestmark = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("demo")
    said: list[str] = []
    run_demo(folder, None, folder / "demo.png", said.append)
    return folder, said


def test_it_paints_finds_and_draws(demo: tuple[Path, list[str]]) -> None:
    folder, said = demo
    assert len(list((folder / "pictures").iterdir())) == SCENES
    text = "\n".join(said)
    assert all(words in text for words in ASKED)
    with Image.open(folder / "demo.png") as sheet:
        assert sheet.height > sheet.width / 3


def test_a_second_run_finds_its_work_done(demo: tuple[Path, list[str]]) -> None:
    folder, first = demo
    again: list[str] = []
    run_demo(folder, None, folder / "demo.png", again.append)
    rows = [line for line in first if line.startswith("  ")]
    assert [line for line in again if line.startswith("  ")] == rows


def test_its_answers_are_right(demo: tuple[Path, list[str]]) -> None:
    from clipmodel.training.scenes import imagine

    _, said = demo
    parts = list(ASKED.values())
    for asked, part in ASKED.items():
        start = next(i for i, line in enumerate(said) if asked in line) + 1
        numbers = [int(line.rstrip(".jpg")[-3:]) for line in said[start : start + 3]]
        for number in numbers:
            having = parts[number % 3] if number < 24 else None
            scene = imagine(BEYOND_EVALUATION + 2 * number, "test", having)
            assert part in scene.parts(), f"{asked}: {scene}"


def test_it_takes_ones_own_pictures(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (64, 48), "navy").save(photos / "sea.png")
    said: list[str] = []
    run_demo(tmp_path / "demo", photos, tmp_path / "own.png", said.append)
    assert any("sea.png" in line for line in said)
    assert sorted(path.name for path in photos.iterdir()) == ["sea.png"]
