"""Libraries as a version wrote them, with its answers: opened and migrated, they answer the same.

`libraries/make.py` says how they were made.
"""

import json
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.catalog.sqlite.connection import SCHEMA_VERSION
from retrieval.errors import FailureCode
from retrieval.locate import FILE_NAME

LIBRARIES = Path(__file__).parent / "libraries"
VERSIONS = (2, 3, 4)


@pytest.fixture(params=VERSIONS)
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The pictures, the library in `.retrieve` beside them, and answers.json."""
    folder = tmp_path / "photos"
    with zipfile.ZipFile(LIBRARIES / f"version-{request.param}.zip") as archive:
        archive.extractall(folder)
    with closing(sqlite3.connect(folder / ".retrieve" / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (request.param,)
    return folder


@pytest.fixture
def library(photos: Path) -> Iterator[Library]:
    with Library.open(photos / ".retrieve") as opened:
        yield opened


def has_its_answers(library: Library, photos: Path) -> bool:
    """Whether paths are the same, in their order, and scores to a thousandth."""
    answers = json.loads((photos / "answers.json").read_text())
    for query, expected in answers.items():
        found = library.search(query, 10)
        assert [str(match.path.relative_to(photos)) for match in found] == [p for p, _ in expected]
        scores = [match.score for match in found]
        assert scores == pytest.approx([score for _, score in expected], abs=1e-3)
    return len(answers) > 0


def test_there_is_one_of_each_version() -> None:
    assert VERSIONS[-1] == SCHEMA_VERSION, "add a library of the new version: libraries/make.py"


def test_an_old_library_answers_as_it_did(library: Library, photos: Path) -> None:
    assert has_its_answers(library, photos)
    assert library.catalog.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert library.check() == []
    [failed] = library.failures()
    assert (failed.path, failed.code) == (photos / "empty.jpg", FailureCode.EMPTY)


def test_the_next_run_encodes_nothing_and_the_answers_stay(library: Library, photos: Path) -> None:
    summary = library.index(workers=0)
    assert (summary.encoded, summary.unchanged, summary.failed) == (0, 5, 1)  # all have new times
    assert library.catalog.images.undescribed() == [] and library.check() == []
    assert has_its_answers(library, photos)


def test_it_may_be_read_where_the_pictures_are_gone(library: Library, photos: Path) -> None:
    for path in [
        path for path in photos.iterdir() if path.name not in (".retrieve", "answers.json")
    ]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert has_its_answers(library, photos)
