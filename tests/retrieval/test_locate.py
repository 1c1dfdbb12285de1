"""Which library is meant."""

import os
from pathlib import Path

import pytest

from retrieval.locate import FILE_NAME, beside, library_place


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RETRIEVE_LIBRARY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "pictures" / "deep" / "down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "pictures" / "deep" / "down")
    return Path(os.path.realpath(tmp_path))


def test_the_users_own(here: Path) -> None:
    assert library_place().name == "retrieve"
    assert library_place().is_relative_to(here)


def test_the_nearest_upwards(here: Path) -> None:
    beside(here).mkdir()
    assert library_place() == here / ".retrieve"
    beside(here / "pictures").mkdir()
    assert library_place() == here / "pictures" / ".retrieve"
    beside(here / "pictures" / "deep").touch()  # a file is no library
    assert library_place() == here / "pictures" / ".retrieve"


def test_the_one_that_was_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside(here).mkdir()
    monkeypatch.setenv("RETRIEVE_LIBRARY", str(here / "by-variable"))
    assert library_place() == here / "by-variable"
    assert library_place(here / "by-name") == here / "by-name"
    assert library_place("~/x") == here / "home" / "x"
    assert library_place("x") == here / "pictures" / "deep" / "down" / "x"
    monkeypatch.setenv("RETRIEVE_LIBRARY", "")
    assert library_place() == here / ".retrieve"


def test_a_folder_of_pictures_stands_for_the_library_in_it(here: Path) -> None:
    beside(here / "pictures").mkdir()
    assert library_place(here / "pictures") == here / "pictures" / ".retrieve"
    (here / "pictures" / FILE_NAME).touch()  # it is a library itself
    assert library_place(here / "pictures") == here / "pictures"


def test_a_current_folder_that_is_gone(here: Path) -> None:
    Path.cwd().rmdir()
    assert library_place().name == "retrieve"
