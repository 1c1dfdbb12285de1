"""`retrieve check`: whatever was done to a library, it says so, and mends what can be mended."""

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from indexes import IndexSpec, VectorIndex, contents
from retrieval import CatalogDamaged, LibraryBusy, LibraryNotFound, LibraryTooNew, Problem
from retrieval.catalog import roots
from retrieval.catalog.lock import write_lock
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import connect
from retrieval.cli.main import cli
from retrieval.collection.check import check
from retrieval.library import Library
from retrieval.locate import FILE_NAME
from retrieval.vectors import index_file
from retrieval.vectors.file_store import FileStore
from tests.retrieval.small import contents as held_in
from tests.retrieval.small import paint_many, run_index


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    paint_many(Path(os.path.realpath(tmp_path)) / "photos", 20)
    return Path(os.path.realpath(tmp_path)) / "photos"


@pytest.fixture
def folder(photos: Path) -> Path:
    """A library of twenty pictures, whole."""
    folder = photos.parent / "library"
    with closing(Catalog.open(folder, create=True)) as catalog:
        run_index(catalog, [photos])
    assert check(folder, repair=False) == []
    return folder


def index_of(folder: Path) -> Path:
    with closing(Catalog.open(folder)) as catalog:
        model = catalog.current_model()
        assert model
        return index_file.path_of(catalog, model.digest)


def sql(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def mended_by(folder: Path, photos: Path) -> list[Problem]:
    """Repair, find nothing wrong any more, and index again to what was there before."""
    with closing(Catalog.open(photos.parent / "fresh", create=True)) as catalog:
        run_index(catalog, [photos])
        expected = held_in(catalog)
    problems = check(folder, repair=True)
    assert all(problem.mended for problem in problems), problems
    assert check(folder, repair=False) == []
    with closing(Catalog.open(folder)) as catalog:
        run_index(catalog, [photos])
        assert held_in(catalog) == expected
    assert check(folder, repair=False) == []
    return problems


# -- rows ----------------------------------------------------------------------------------------

ROWS = {
    "DELETE FROM images WHERE id = 3": "1 row in files: missing image",
    "DELETE FROM roots": "20 rows in files: unknown folder",
    "UPDATE files SET image_id = NULL WHERE image_id = 4": "neither an image nor a failure",
    "UPDATE files SET failure = 'why' WHERE image_id = 4": "or both",
    "UPDATE images SET digest = X'00' WHERE id = 5": "1 row in images: invalid digest",
    "UPDATE images SET width = -1 WHERE id = 5": "1 row in images: invalid digest or size",
    "UPDATE embeddings SET image_id = 99 WHERE image_id = 6": "1 row in embeddings: missing image",
    "UPDATE embeddings SET model_id = 7 WHERE image_id = 6": "1 row in embeddings: missing model",
    "UPDATE embeddings SET vector = X'003C' WHERE image_id = 7": "wrong length for the model",
    "UPDATE embeddings SET vector = zeroblob(24) WHERE image_id = 8": "1 vector of small without",
    "UPDATE files SET size = 'large' WHERE image_id = 2": "1 row in files: wrong type of value",
    "UPDATE roots SET path = 7": "1 row in roots: wrong type of value",
    "UPDATE models SET is_current = 0": "0 of 1 models are current",
    "DROP INDEX files_of_image": "lacks files_of_image",
}


@pytest.mark.parametrize("statement", ROWS)
def test_rows_that_make_no_sense(folder: Path, photos: Path, statement: str) -> None:
    sql(folder, "PRAGMA foreign_keys = OFF", statement)
    found = check(folder, repair=False)
    assert any(ROWS[statement] in problem.what for problem in found), found
    assert not any(problem.mended for problem in found)
    mended_by(folder, photos)


@pytest.mark.parametrize("number", ["7C00", "7E00"])  # infinity, and no number at all
def test_vectors_that_are_not_numbers(folder: Path, photos: Path, number: str) -> None:
    wrong = bytes.fromhex(number)[::-1].hex()
    sql(
        folder,
        f"UPDATE embeddings SET vector = X'{wrong}' || substr(vector, 3) WHERE image_id < 4",
        "UPDATE embeddings SET vector = CAST(vector AS BLOB)",
    )
    [problem, *_] = mended_by(folder, photos)
    assert problem.what == "3 vectors of small without unit length"


def test_vectors_that_were_altered_are_told_by_the_index_file(folder: Path, photos: Path) -> None:
    sql(
        folder,
        "UPDATE embeddings SET vector = CAST(substr(vector, 1, 22) || X'0000' AS BLOB) "
        "WHERE image_id IN (2, 3)",
        "UPDATE embeddings SET vector = (SELECT vector FROM embeddings WHERE image_id = 5) "
        "WHERE image_id = 4",
    )
    problems = mended_by(folder, photos)
    assert any("were altered" in problem.what for problem in problems)


def test_a_picture_that_is_encoded_again_is_found_again(folder: Path, photos: Path) -> None:
    """Its id is one that the index file covers: the file must not stay as it is."""
    sql(folder, "DELETE FROM embeddings WHERE image_id = 9")
    with closing(Catalog.open(folder)) as catalog:
        assert run_index(catalog, [photos]).encoded == 1
    assert 9 in {id for ids, _ in contents(index_of(folder)) for id in ids.tolist()}


# -- the index file ------------------------------------------------------------------------------


def flip(path: Path, place: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 0xFF
    path.write_bytes(data)


def foreign(path: Path) -> None:
    with closing(Catalog.open(path.parent.parent / "other", create=True)) as catalog:
        paint_many(path.parent.parent / "others", 20, first=500)
        run_index(catalog, [path.parent.parent / "others"])
        model = catalog.current_model()
        assert model
        path.write_bytes(index_file.path_of(catalog, model.digest).read_bytes())


def half(path: Path) -> None:
    """As one that was made before there were as many pictures, with the ids of now."""
    [(ids, vectors)] = list(contents(path))
    VectorIndex.build(path, [(ids[::-2][::-1], vectors[::-2][::-1])], IndexSpec("flat"), 12)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "is missing": Path.unlink,
    "is damaged: it does not end": lambda path: os.truncate(path, path.stat().st_size - 9),
    "is damaged: its header": lambda path: flip(path, 0),
    "is damaged: its codes": lambda path: flip(path, 0.3),
    "is damaged: its footer": lambda path: flip(path, 0.99),
    "holds other vectors than the catalog for 20 images": foreign,
    "lacks 10 vectors": half,
}


@pytest.mark.parametrize("said", DAMAGES)
def test_an_index_file_that_is_not_what_it_should_be(folder: Path, photos: Path, said: str) -> None:
    path = index_of(folder)
    DAMAGES[said](path)
    [found] = check(folder, repair=False)
    assert found.what.startswith(f"{path.name} {said}")
    [problem] = mended_by(folder, photos)
    assert problem.mended == "rebuilt"


def test_inverted_lists_are_compared_as_well(folder: Path, photos: Path) -> None:
    path = index_of(folder)
    [(ids, vectors)] = list(contents(path))
    VectorIndex.build(path, [(ids, vectors)], IndexSpec("ivf", lists=3), 12)
    listed = list(contents(path))
    np.testing.assert_array_equal(np.concatenate([some for some, _ in listed]), ids)
    np.testing.assert_array_equal(np.concatenate([some for _, some in listed]), vectors)
    assert check(folder, repair=False) == []


def test_what_killed_runs_left_goes(folder: Path, photos: Path) -> None:
    for name in ("vectors-0000.faiss", f"{index_of(folder).name}.part", f"{FILE_NAME}.part"):
        (folder / name).write_bytes(b"x")
        [found] = check(folder, repair=False)
        assert found.what == f"{name} is left over from a run that was killed"
        with write_lock(folder):  # somebody may be writing it
            assert check(folder, repair=False) == []
        mended_by(folder, photos)
    (folder / "vectors-0000.faiss").write_bytes(b"x")
    with closing(Catalog.open(folder)) as catalog:
        run_index(catalog, [photos])
    assert not (folder / "vectors-0000.faiss").exists()


# -- a damaged catalog ---------------------------------------------------------------------------


def test_a_catalog_that_was_altered_anywhere(folder: Path, photos: Path, tmp_path: Path) -> None:
    """Two pages of noise at a time: what can be read is saved, the rest comes back by indexing."""
    whole = (folder / FILE_NAME).read_bytes()
    pages = len(whole) // 8192
    saved = []
    for page in range(1, pages):  # without the first, SQLite knows no tables
        damaged = bytearray(whole)
        damaged[page * 8192 : page * 8192 + 8192] = random.Random(page).randbytes(8192)
        (folder / FILE_NAME).write_bytes(damaged)
        problems = mended_by(folder, photos)
        if problems and "is damaged" in problems[0].what:
            beside = sorted(folder.glob(f"{FILE_NAME}.damaged-*"))[-1]
            assert beside.read_bytes() == damaged and problems[0].mended
            assert beside.name in problems[0].mended
            saved.append(page)
            beside.unlink()
    assert len(saved) >= pages // 2


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_catalog_that_was_cut(folder: Path, photos: Path, share: float) -> None:
    size = int((folder / FILE_NAME).stat().st_size * share)
    os.truncate(folder / FILE_NAME, size)
    [found] = check(folder, repair=False)
    assert found.what.startswith(f"{FILE_NAME} is damaged: ")
    mended_by(folder, photos)
    assert (folder / f"{FILE_NAME}.damaged-1").stat().st_size == size


@pytest.mark.parametrize("how", ["emptied", "missing", "cut within its first page", "overwritten"])
def test_a_catalog_that_was_emptied_is_no_new_library(folder: Path, photos: Path, how: str) -> None:
    """Its index shows that it held something. Nothing of it is deleted or begun anew."""
    index, path = index_of(folder), folder / FILE_NAME
    vectors = index.read_bytes()
    match how:
        case "emptied":
            path.write_bytes(b"")
        case "missing":
            path.unlink()
        case "cut within its first page":
            os.truncate(path, 5_000)
        case "overwritten":
            path.write_bytes(b"notes")
    left = path.read_bytes() if path.exists() else None
    with Library.open(folder) as library:
        for use in (library.status, lambda: library.index(photos), lambda: library.search("x")):
            with pytest.raises(CatalogDamaged, match="put a backup in its place"):
                use()
    for repair in (False, True):
        if left is None:
            with pytest.raises(CatalogDamaged), Library.open(folder) as library:
                library.check(repair=repair)
        else:
            [problem] = check(folder, repair)
            assert "put a backup in its place" in problem.what and not problem.mended
    assert index.read_bytes() == vectors
    assert (path.read_bytes() if path.exists() else None) == left
    assert not list(folder.glob("*damaged*")) and not list(folder.glob("*.part*"))


def test_an_emptied_catalog_comes_back_out_of_its_wal(folder: Path, photos: Path) -> None:
    """As after a power failure in a run, whose pages had not been written back."""
    path = folder / FILE_NAME
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("VACUUM")  # so that the WAL has every page
        kept = {file: file.read_bytes() for file in folder.glob(f"{FILE_NAME}-wal")}
    path.write_bytes(b"")
    for file, data in kept.items():
        file.write_bytes(data)
    [found] = check(folder, repair=False)
    assert "`retrieve check --repair` saves" in found.what
    assert mended_by(folder, photos)[0].mended
    with closing(Catalog.open(folder)) as catalog:
        assert catalog.counts().images == catalog.counts().embedded == 20


def test_an_empty_file_without_a_witness_is_a_new_library(folder: Path) -> None:
    index_of(folder).unlink()
    (folder / FILE_NAME).write_bytes(b"")  # a run was killed before its first transaction
    assert check(folder, repair=False) == []


def test_a_backup_put_over_a_library_is_not_searched_with_its_index(
    folder: Path, photos: Path
) -> None:
    """That index lacks what was forgotten since, below ids that it has."""
    with Library.open(folder) as library:
        library.backup(folder.parent / "backup")
        for name in ("003.png", "004.png", "005.png", "006.png", "007.png", "008.png"):
            library.forget(photos / name)
        model = library.model
        assert model and index_file.rebuild(library.catalog, model)
    (folder / FILE_NAME).write_bytes((folder.parent / "backup").read_bytes())
    found = check(folder, repair=False)
    assert all(problem.harmless for problem in found), found
    with closing(Catalog.open(folder)) as catalog:
        store = FileStore(catalog, model)
        for _ in range(2):  # the second one with an index, if there is one
            vectors = np.eye(model.dim, dtype=np.float32)[:1]
            nearest = store.search(vectors, 20, None, np.zeros(1, np.float32))
            assert len(nearest.ids[0]) == 20
        run_index(catalog, [photos])
    assert check(folder, repair=False) == []


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other:
        other.execute("CREATE TABLE albums (name)")
    before = (tmp_path / FILE_NAME).read_bytes()
    with Library.open(tmp_path) as library:
        for use in (library.status, library.check, lambda: library.index(tmp_path)):
            with pytest.raises(LibraryNotFound, match="another program"):
                use()
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_catalog_of_which_nothing_can_be_read(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"no database" * 5000)
    for repair in (False, True):
        [problem] = check(folder, repair)
        assert problem == Problem(f"{FILE_NAME} is damaged: file is not a database")
    assert not list(folder.glob("*.part*")) and not list(folder.glob("*damaged*"))


def test_ids_are_not_given_again_after_a_repair(folder: Path, photos: Path) -> None:
    with closing(Catalog.open(folder)) as catalog:
        roots.forget(
            catalog, photos / "019.png"
        )  # the image with the last id, in one order or another
        roots.forget(catalog, photos / "000.png")
        last = catalog.rows("SELECT seq FROM sqlite_sequence WHERE name = 'images'")
    data = bytearray((folder / FILE_NAME).read_bytes())
    place = data.rindex(b"photos/") if b"photos/" in data else len(data) - 100
    data[place // 8192 * 8192 : place // 8192 * 8192 + 8] = b"\xff" * 8
    (folder / FILE_NAME).write_bytes(data)
    check(folder, repair=True)
    with closing(Catalog.open(folder)) as catalog:
        assert catalog.rows("SELECT seq FROM sqlite_sequence WHERE name = 'images'") == last


def test_a_newer_catalog_is_left_alone(folder: Path) -> None:
    sql(folder, "PRAGMA user_version = 99")
    for repair in (False, True):
        with pytest.raises(LibraryTooNew):
            check(folder, repair)


# -- asked for -----------------------------------------------------------------------------------


def test_from_python(folder: Path) -> None:
    with pytest.raises(LibraryNotFound):
        Library(folder.parent / "nowhere").check()
    with Library.open(folder) as library:
        assert library.check() == []
        index_of(folder).unlink()
        assert len(library.check()) == 1
        with write_lock(folder), pytest.raises(LibraryBusy):
            library.check(repair=True)
        [problem] = library.check(repair=True)
        assert problem.mended and library.check() == []
        assert library.status().counts.images == 20


def test_from_the_command_line(folder: Path) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(cli, ["check", "--library", str(folder), *arguments])
        return result.exit_code, result.stdout, result.stderr

    assert run() == (0, f"nothing is wrong with {folder}\n", "")
    name = index_of(folder).name
    index_of(folder).unlink()
    code, said, remedy = run()  # nothing is lost by that: a restored backup has none
    assert (code, remedy) == (0, "") and said.endswith(f"nothing is wrong with {folder}\n")
    assert said.startswith(f"note: {name} is missing; searches do without it")
    assert run("--repair") == (0, f"fixed: {name} is missing: rebuilt\n", "")
    (folder / FILE_NAME).write_bytes(b"no database" * 5000)
    assert run("--repair") == (1, f"{FILE_NAME} is damaged: file is not a database\n", "")
