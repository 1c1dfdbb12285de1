"""`retrieve relocate`: a place without the pictures is refused, as the next run would drop them."""

import logging
import shutil
from pathlib import Path

import pytest

from retrieval import Library, PathNotFound
from retrieval.locate import beside


@pytest.fixture
def library(indexed: Path, home: Path) -> Library:
    """A library of fourteen files in photos, kept elsewhere."""
    shutil.move(beside(indexed), home / "library")
    library = Library.open(home / "library")
    library.index(indexed, workers=0)
    return library


@pytest.mark.parametrize("how", ["an empty folder", "other pictures", "a file", "other sizes"])
def test_a_place_without_the_pictures_is_refused(library: Library, home: Path, how: str) -> None:
    new = home / "new"
    match how:
        case "an empty folder":
            new.mkdir()
        case "other pictures":
            shutil.copytree(home / "photos/small", new / "other")
        case "a file":
            new.write_bytes(b"x")
        case "other sizes":
            shutil.copytree(home / "photos", new)
            for path in filter(Path.is_file, new.rglob("*")):
                path.write_bytes(path.read_bytes() + b"more")
    before = library.status().roots
    for old in (home / "photos", home / "photos/small"):
        with pytest.raises(PathNotFound, match="has none of the .* known files of"):
            library.relocate(old, new)
    with pytest.raises(PathNotFound, match="has none of the 1 known file of"):
        library.relocate(home / "photos/small/red.png", new)
    with pytest.raises(PathNotFound, match="does not exist"):
        library.relocate(home / "photos", home / "nowhere")
    assert library.status().roots == before
    assert library.index(workers=0).unchanged == 14


def test_some_that_are_missing_are_told_of(
    library: Library, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "photos").rename(home / "new")
    (home / "new/small/red.png").unlink()
    with caplog.at_level(logging.WARNING, "retrieval"):
        assert library.relocate(home / "photos", home / "new") == 14
    assert "1 of the 14 files are not in" in caplog.text
    assert library.index(workers=0).unchanged == 13


def test_a_folder_above_a_part_and_a_file(library: Library, home: Path) -> None:
    (home / "disk").mkdir()
    (home / "photos").rename(home / "disk/photos")
    (home / "disk/photos/small").rename(home / "disk/small")
    assert library.relocate(home / "photos/small", home / "disk/small") > 0
    assert library.relocate(home / "photos", home / "disk/photos") > 0
    (home / "disk/small/red.png").rename(home / "disk/small/rouge.png")
    assert library.relocate(home / "disk/small/red.png", home / "disk/small/rouge.png") == 1
    (home / "disk").rename(home / "mount")
    assert library.relocate(home / "disk", home / "mount") == 14
    assert library.index(workers=0).unchanged == 14
