"""`retrieve demo`: a newcomer's first minute, with the model that is bundled."""

from pathlib import Path

import pytest
from PIL import Image

from retrieval import LibraryEmpty
from retrieval.cli.demo import ASKED, ASKED_OF_PHOTOS, MAX_MATCHES, SCENES, run_demo, scene

pytestmark = pytest.mark.xdist_group("demo")

Said = list[str]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    folder = tmp_path_factory.mktemp("demo")
    said: Said = []
    run_demo(folder, None, folder / "demo.png", said.append)
    return folder, said


def answers(said: Said, asked: str) -> list[int]:
    """The numbers of the scenes that were found, best first."""
    start = next(i for i, line in enumerate(said) if line.strip("\n") == f"“{asked}”") + 1
    return [int(line.removesuffix(".jpg")[-3:]) for line in said[start : start + MAX_MATCHES]]


def matches_in(said: Said) -> Said:
    return [line for line in said if line.startswith("  ") and " files" not in line]


def test_it_paints_finds_and_draws(demo: tuple[Path, Said]) -> None:
    folder, said = demo
    assert {path.suffix for path in (folder / "pictures").iterdir()} == {".jpg"}
    assert len(list((folder / "pictures").iterdir())) == SCENES
    assert len(matches_in(said)) == (len(ASKED) + 1) * MAX_MATCHES
    with Image.open(folder / "demo.png") as sheet:
        assert sheet.height > sheet.width / 3


def test_each_question_has_more_answers_than_are_shown() -> None:
    for part in ASKED.values():
        assert sum(part in scene(number).parts() for number in range(SCENES)) > MAX_MATCHES


@pytest.mark.parametrize("asked", ASKED)
def test_its_first_answers_are_right(demo: tuple[Path, Said], asked: str) -> None:
    for number in answers(demo[1], asked)[:3]:
        assert ASKED[asked] in scene(number).parts(), f"{asked}: {scene(number)}"


def test_a_picture_is_most_like_itself(demo: tuple[Path, Said]) -> None:
    said = demo[1]
    start = next(i for i, line in enumerate(said) if "similar to" in line)
    assert said[start + 1].endswith(said[start].split()[-1])


def test_a_second_run_finds_its_work_done(demo: tuple[Path, Said]) -> None:
    folder, first = demo
    (folder / "pictures" / "scene-007.jpg").unlink()
    times = {path: path.stat().st_mtime_ns for path in (folder / "pictures").iterdir()}
    again: Said = []
    run_demo(folder, None, folder / "demo.png", again.append)
    assert "painting 1 scenes" in again[0]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert matches_in(again) == matches_in(first)


def test_it_takes_ones_own_pictures_and_leaves_them_alone(tmp_path: Path) -> None:
    for name in ("first", "second"):
        photos = tmp_path / name
        photos.mkdir()
        Image.new("RGB", (64, 48), "navy" if name == "first" else "teal").save(photos / "sea.png")
        said: Said = []
        run_demo(tmp_path / "demo", photos, tmp_path / "out" / "own.png", said.append)
        assert [path.name for path in photos.iterdir()] == ["sea.png"]
        assert len(matches_in(said)) == len(ASKED_OF_PHOTOS) + 1
        assert all(
            f"{name}/sea.png" in line for line in matches_in(said)
        )  # not the first's as well


def test_a_folder_without_pictures_is_told_plainly(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with pytest.raises(LibraryEmpty):
        run_demo(tmp_path / "demo", photos, tmp_path / "own.png", lambda line: None)
    assert not (tmp_path / "own.png").exists()
