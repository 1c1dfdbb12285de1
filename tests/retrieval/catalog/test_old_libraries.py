"""Libraries as a version wrote them: opened and migrated, they answer the same.

`libraries/make.py` says how they were made.
"""

import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retrieval import Library
from retrieval.catalog.database import SCHEMA_VERSION
from retrieval.errors import FailureCode, ModelMismatch
from retrieval.locate import FILE_NAME

LIBRARIES = Path(__file__).parent / "libraries"
VERSIONS = (2, 3, 4, 5)
OF_FORMER_MODEL = (2, 3, 4)  # made with a bundled model that is no more


@pytest.fixture(params=VERSIONS)
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The pictures, and the library in `.retrieve` beside them."""
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


Cosines = dict[int, list[float]]  # of each image with all others, highest first


def cosines(photos: Path) -> Cosines:
    """Compute them from the vectors in the file."""
    with closing(sqlite3.connect(photos / ".retrieve" / FILE_NAME)) as connection:
        rows = connection.execute("SELECT image_id, vector FROM embeddings").fetchall()
    vectors = {id: np.frombuffer(vector, np.float16).astype(np.float32) for id, vector in rows}
    return {
        id: sorted((float(v @ w) for other, w in vectors.items() if other != id), reverse=True)
        for id, v in vectors.items()
    }


def has_its_answers(library: Library, expected: Cosines) -> bool:
    """Whether searches by each image find all others, with the scores that they had."""
    for id, scores in expected.items():
        found = library.similar(id, 10)
        assert [match.score for match in found] == pytest.approx(scores, abs=1e-3)
    return len(expected) == 5


def test_there_is_one_of_each_version_before_this_one() -> None:
    assert VERSIONS[-1] == SCHEMA_VERSION, "add one of the last version: libraries/make.py"


def test_an_old_library_answers_as_it_did(photos: Path) -> None:
    expected = cosines(photos)
    with Library.open(photos / ".retrieve") as library:
        assert has_its_answers(library, expected)
        assert library.catalog.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert library.check() == []
        [failed] = library.failures()
    assert (failed.path, failed.code) == (photos / "empty.jpg", FailureCode.EMPTY)


@pytest.mark.parametrize("photos", OF_FORMER_MODEL, indirect=True)
def test_a_former_bundled_model_is_replaced_on_request(library: Library, photos: Path) -> None:
    for ask in (lambda: library.search("a red circle"), lambda: library.index(workers=0)):
        with pytest.raises(ModelMismatch, match="earlier 'tiny'.*retrieve index --model tiny"):
            ask()
    summary = library.index(model="tiny", workers=0)
    assert (summary.encoded, summary.failed) == (5, 1)
    assert library.catalog.images.undescribed() == [] and library.check() == []
    assert library.search("a red circle")[0].path == photos / "red circle.png"


def test_it_may_be_read_where_the_pictures_are_gone(photos: Path) -> None:
    expected = cosines(photos)
    for path in [each for each in photos.iterdir() if each.name != ".retrieve"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with Library.open(photos / ".retrieve") as library:
        assert has_its_answers(library, expected)
