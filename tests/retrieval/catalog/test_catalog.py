"""The catalog: what it tells of what was recorded, its versions, its moves, its complaints."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Connection, text

from retrieval.catalog import migrations, roots, writing
from retrieval.catalog.database import SCHEMA_VERSION
from retrieval.catalog.postgresql import database as postgresql
from retrieval.catalog.postgresql import tables
from retrieval.catalog.queries.vector_ids import vector_id
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite import database as sqlite
from retrieval.catalog.sqlite.recover import recover
from retrieval.collection.check import check
from retrieval.errors import (
    CatalogDamaged,
    FailureCode,
    LibraryBusy,
    LibraryNotFound,
    LibraryTooNew,
    PathNotFound,
)
from retrieval.locate import FILE_NAME
from retrieval.records import Failure, FileState, NewImage, Root, Vectors

pytestmark = pytest.mark.databases("sqlite", "postgresql")
ENGINES = (sqlite, postgresql, tables)  # modules that know of the newest version
sqlite_only = pytest.mark.databases("sqlite")


def digest(number: int) -> bytes:
    return number.to_bytes(16, "big")


def fill(catalog: Catalog, root: Root, *files: bytes, dim: int = 4) -> None:
    """Record these files, each with an image and a vector of its own."""
    model = writing.adopt_model(catalog, "small", "d" * 64, dim, "fp32")
    start = catalog.images.count()
    digests = [digest(start + number) for number in range(1, len(files) + 1)]
    images = [NewImage(each, 640, 480, "JPEG", "2023-06-01T12:00:00+02:00") for each in digests]
    vectors = {each: np.eye(dim, dtype=np.float32)[each[-1] % dim] for each in digests}
    states = [
        FileState(root.id, path, 100, 5, each, None)
        for path, each in zip(files, digests, strict=True)
    ]
    writing.record(catalog, states, images, Vectors(model.id, vectors))


def root_at(catalog: Catalog, path: Path, entire: bool = True) -> Root:
    path.mkdir(parents=True, exist_ok=True)
    return roots.place_root(catalog, path, entire)


def paths_of(catalog: Catalog) -> dict[int, list[str]]:
    ids = range(1, 100)
    return {id: [str(p) for p in image.paths] for id, image in catalog.images.by_id(ids).items()}


# -- opening -------------------------------------------------------------------------------------


def test_a_library_that_is_not_there_is_an_error_with_a_remedy(base: Path) -> None:
    with pytest.raises(LibraryNotFound, match="retrieve index"):
        Catalog.open(base / "nowhere")
    assert not (base / "nowhere").exists()


def test_a_catalog_of_a_newer_version_is_refused(base: Path, catalog: Catalog) -> None:
    is_file = isinstance(catalog.place, Path)
    catalog.database.execute(
        "PRAGMA user_version = 99" if is_file else "UPDATE library SET version = 99"
    )
    with pytest.raises(LibraryTooNew, match="version 99.*update"):
        Catalog.open(catalog.place)


def test_what_is_no_catalog_is_called_damaged(base: Path) -> None:
    (base / FILE_NAME).write_bytes(b"this is no SQLite file" * 100)
    with pytest.raises(CatalogDamaged, match=FILE_NAME):
        Catalog.open(base)


def test_an_older_catalog_is_migrated_step_by_step(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE images ADD COLUMN camera TEXT"))

    def second(connection: Connection) -> None:
        connection.execute(text("UPDATE images SET camera = 'box'"))

    fill(catalog, root_at(catalog, catalog.local_folder.parent / "photos"), b"a.jpg")
    catalog.close()
    newest = SCHEMA_VERSION + 2
    for module in ENGINES:
        monkeypatch.setattr(module, "SCHEMA_VERSION", newest)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, first, second))
    with closing(Catalog.open(catalog.place)) as migrated:
        assert migrated.rows("SELECT camera FROM images") == [("box",)]
        is_file = isinstance(catalog.place, Path)
        version = "PRAGMA user_version" if is_file else "SELECT version FROM library"
        assert migrated.rows(version) == [(newest,)]
        assert migrated.counts().files == 1


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE images ADD COLUMN camera TEXT"))
        raise RuntimeError("power cut")

    catalog.close()
    for module in ENGINES:
        monkeypatch.setattr(module, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, broken))
    with pytest.raises(RuntimeError, match="power cut"):
        Catalog.open(catalog.place)
    monkeypatch.undo()
    with closing(Catalog.open(catalog.place)) as again:
        again.rows("SELECT * FROM images")
        with pytest.raises(Exception, match="camera"):
            again.rows("SELECT images.camera FROM images")


def test_there_is_a_migration_for_every_older_version() -> None:
    assert len(migrations.MIGRATIONS) == SCHEMA_VERSION - 1


def test_reading_imports_no_sqlalchemy(catalog: Catalog) -> None:
    fill(catalog, root_at(catalog, catalog.local_folder.parent / "photos"), b"a.jpg")
    script = """
import sys
from retrieval.catalog.reading import Catalog
from retrieval.locate import library_place
catalog = Catalog.open(library_place(sys.argv[1]))
assert catalog.counts().embedded == 1 and catalog.images.by_id([1])
assert catalog.embeddings.vector(1, 1) is not None
catalog.close()
print([name for name in ("sqlalchemy", "torch", "PIL", "faiss") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, getattr(catalog.place, "secret", catalog.place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(os.name != "posix", reason="users and permissions of POSIX")
def test_a_library_that_cannot_be_written_to_is_read_all_the_same() -> None:
    script = """
import os, sys
from pathlib import Path
from retrieval.catalog import lock, roots
from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryReadOnly
if os.geteuid() == 0:
    os.setuid(65534)  # root may write anywhere
folder = Path(sys.argv[1])
catalog = Catalog.open(folder)
print(catalog.counts().embedded)
try:
    roots.forget(catalog, folder.parent / "photos")
except LibraryReadOnly as error:
    print(error)
"""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are for their owner alone
        os.chmod(folder, 0o755)
        library = Path(os.path.realpath(folder)) / "library"
        with closing(Catalog.open(library, create=True)) as catalog:
            fill(catalog, root_at(catalog, library.parent / "photos"), b"a.jpg")
        library.chmod(0o555)
        command = [sys.executable, "-c", script, str(library)]
        done = subprocess.run(command, capture_output=True, text=True)
        library.chmod(0o755)
    assert done.returncode == 0, done.stderr
    embedded, complaint = done.stdout.splitlines()
    assert embedded == "1" and "cannot write to the library" in complaint


# -- reading -------------------------------------------------------------------------------------


def test_what_is_recorded_is_told(base: Path, catalog: Catalog) -> None:
    root = root_at(catalog, base / "photos")
    fill(catalog, root, b"a.jpg", b"b/c.jpg")
    copy = FileState(root.id, b"b/copy.jpg", 100, 6, digest(1), None)
    bad = FileState(
        *(root.id, b"bad.jpg", 3, 7, None), Failure(FailureCode.EMPTY, "the file is empty")
    )
    writing.record(catalog, [copy, bad])

    image = catalog.images.by_id([1, 77])[1]
    assert (image.width, image.height, image.format) == (640, 480, "JPEG")
    assert image.taken_at == datetime.fromisoformat("2023-06-01T12:00:00+02:00")
    assert image.paths == (base / "photos/a.jpg", base / "photos/b/copy.jpg")
    counts = catalog.counts()
    assert (counts.files, counts.images, counts.embedded, counts.failures) == (4, 2, 2, 1)
    assert counts.per_root == {root.id: 4}
    assert [(f.path, f.reason) for f in catalog.files.failures()] == [
        (base / "photos/bad.jpg", "the file is empty")
    ]
    assert catalog.images.of_digest(digest(2)) == 2
    assert catalog.images.of_digest(digest(3)) is None


def test_the_same_batch_may_be_recorded_twice(base: Path, catalog: Catalog) -> None:
    root = root_at(catalog, base / "photos")
    image, state = (
        NewImage(digest(1), 1, 1, "PNG", None),
        FileState(root.id, b"a", 1, 1, digest(1), None),
    )
    for _ in range(2):
        writing.record(catalog, [state], [image])
    assert (catalog.counts().files, catalog.counts().images) == (1, 1)


def test_vectors_come_in_pages_of_ascending_ids(base: Path, catalog: Catalog) -> None:
    fill(catalog, root_at(catalog, base / "photos"), *(b"%d" % n for n in range(7)))
    pages = list(catalog.embeddings.vectors(1, after=1, batch=4))
    assert [page.tolist() for page, _ in pages] == [[2, 3, 4, 5], [6, 7]]
    _, vectors = pages[1]
    assert vectors.shape == (2, 4) and vectors.dtype == np.float16
    one = catalog.embeddings.vector(1, 6)
    assert one is not None and one.dtype == np.float32
    np.testing.assert_array_equal(one, vectors[0])
    assert catalog.embeddings.vector(1, 99) is None and catalog.embeddings.vector(2, 1) is None
    assert (catalog.embeddings.count(1), catalog.embeddings.count(1, up_to=3)) == (7, 3)


NAMES = [b"a/1", b"a/b/2", b"ab/3", b"a", b"a%/4", b"a_/5", b"\xff\n'\"/6", b"a0/7", b"a./8"]


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        (b"", [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (b"a", [1, 2, 4]),  # the folder, and the file of that name in another life
        (b"a/b", [2]),
        (b"a%", [5]),
        (b"a_", [6]),
        (b"\xff\n'\"", [7]),
        (b"A", []),
        (b"nowhere", []),
    ],
)
def test_ids_under_a_folder_are_those_below_it_byte_by_byte(
    base: Path, catalog: Catalog, inside: bytes, expected: list[int]
) -> None:
    fill(catalog, root_at(catalog, base / "photos"), *NAMES)
    folder = base / "photos" / os.fsdecode(inside)
    assert catalog.places.ids_under(folder).tolist() == expected


def test_ids_under_a_folder_above_several_roots(base: Path, catalog: Catalog) -> None:
    fill(catalog, root_at(catalog, base / "disk/one"), b"a", b"b")
    fill(catalog, root_at(catalog, base / "disk/two"), b"a")
    fill(catalog, root_at(catalog, base / "diskette"), b"a")
    assert catalog.places.ids_under(base / "disk").tolist() == [1, 2, 3]
    os.symlink(base / "disk", base / "link")
    assert catalog.places.ids_under(base / "link/two").tolist() == [3]


def test_a_file_is_known_by_its_path_only_as_long_as_it_is_unchanged(
    base: Path, catalog: Catalog
) -> None:
    root = root_at(catalog, base / "photos")
    file = base / "photos/a.jpg"
    file.write_bytes(b"x" * 10)
    stat = file.stat()
    state = FileState(root.id, b"a.jpg", stat.st_size, stat.st_mtime_ns, digest(1), None)
    writing.record(catalog, [state], [NewImage(digest(1), 1, 1, "PNG", None)])
    assert catalog.places.image_of_path(file) == 1
    os.utime(file, ns=(0, 0))
    assert catalog.places.image_of_path(file) is None
    assert catalog.places.image_of_path(base / "photos/b.jpg") is None


def test_readers_see_whole_batches_while_a_writer_writes(base: Path, catalog: Catalog) -> None:
    root, batches = root_at(catalog, base / "photos"), 20
    done, seen = threading.Event(), []

    def read() -> None:
        while not done.is_set():
            seen.append(catalog.rows("SELECT count(*), count(image_id) FROM files")[0])

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for batch in range(batches):
        fill(catalog, root, *(b"%d-%d" % (batch, n) for n in range(5)))
    done.set()
    for reader in readers:
        reader.join()
    assert all(files % 5 == 0 and files == images for files, images in seen)
    assert catalog.counts().embedded == 5 * batches


# -- roots, forgetting, moving -------------------------------------------------------------------


def test_a_root_takes_in_the_roots_below_it(base: Path, catalog: Catalog) -> None:
    fill(catalog, root_at(catalog, base / "p/a"), b"\xff.jpg")
    fill(catalog, root_at(catalog, base / "p/b", entire=False), b"2.jpg")
    fill(catalog, root_at(catalog, base / "q"), b"3.jpg")
    root_at(catalog, base / "p")
    assert [root.path for root in catalog.roots()] == [base / "p", base / "q"]
    assert paths_of(catalog) == {
        1: [str(base / "p/a/\udcff.jpg")],
        2: [str(base / "p/b/2.jpg")],
        3: [str(base / "q/3.jpg")],
    }


def test_forgetting_drops_files_and_the_images_that_were_only_there(
    base: Path, catalog: Catalog
) -> None:
    root = root_at(catalog, base / "photos")
    fill(catalog, root, b"a/1.jpg", b"a/2.jpg", b"b/3.jpg")
    writing.record(catalog, [FileState(root.id, b"b/copy.jpg", 1, 1, digest(1), None)])
    assert roots.forget(catalog, base / "photos/a") == 2
    assert paths_of(catalog) == {
        1: [str(base / "photos/b/copy.jpg")],
        3: [str(base / "photos/b/3.jpg")],
    }
    assert catalog.counts().embedded == 2
    assert roots.forget(catalog, base) == 2
    assert catalog.roots() == [] and catalog.images.count() == 0
    with pytest.raises(PathNotFound, match="retrieve status"):
        roots.forget(catalog, base / "photos")


def test_ids_are_never_used_again(base: Path, catalog: Catalog) -> None:
    root = root_at(catalog, base / "photos")
    fill(catalog, root, b"1", b"2")
    roots.forget(catalog, base / "photos/2")
    writing.record(catalog, [], [NewImage(digest(50), 1, 1, "PNG", None)])
    assert catalog.images.of_digest(digest(50)) == 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("disk", "mount", ["mount/x/a/1", "mount/x/b/2", "mount/y/3"]),  # two roots on a disk
        ("disk/x", "new", ["new/a/1", "new/b/2", "disk/y/3"]),  # a root
        ("disk/x/a", "disk/x/c", ["disk/x/c/1", "disk/x/b/2", "disk/y/3"]),  # inside a root
        ("disk/x/a", "disk/y/a", ["disk/y/a/1", "disk/x/b/2", "disk/y/3"]),  # into another root
        ("disk/x/a", "out", ["out/1", "disk/x/b/2", "disk/y/3"]),  # out of all roots
        ("disk/x", "disk/y", ["disk/y/a/1", "disk/y/b/2", "disk/y/3"]),  # one root into another
    ],
)
def test_relocating_is_a_change_of_rows(
    base: Path, catalog: Catalog, old: str, new: str, expected: list[str]
) -> None:
    fill(catalog, root_at(catalog, base / "disk/x"), b"a/1", b"b/2")
    fill(catalog, root_at(catalog, base / "disk/y"), b"3")
    (base / new).mkdir(parents=True, exist_ok=True)
    roots.relocate(catalog, base / old, base / new)
    held = {id: [str(base / path)] for id, path in enumerate(expected, start=1)}
    assert paths_of(catalog) == held
    assert catalog.counts().embedded == 3


def test_relocating_needs_a_place_that_is_known(base: Path, catalog: Catalog) -> None:
    fill(catalog, root_at(catalog, base / "photos"), b"1")
    with pytest.raises(PathNotFound, match="not in the library"):
        roots.relocate(catalog, base / "other", base / "photos")


def test_a_library_inside_its_root_moves_with_it(base: Path) -> None:
    with closing(Catalog.open(base / "photos/.retrieve", create=True)) as catalog:
        fill(catalog, root_at(catalog, base / "photos"), b"a.jpg")
    shutil.move(base / "photos", base / "elsewhere")
    with closing(Catalog.open(base / "elsewhere/.retrieve")) as catalog:
        assert paths_of(catalog) == {1: [str(base / "elsewhere/a.jpg")]}


# -- one writer ----------------------------------------------------------------------------------


def test_a_second_writer_is_told_who_the_first_is(base: Path, catalog: Catalog) -> None:
    with (
        catalog.database.running(),
        pytest.raises(LibraryBusy, match=rf"by process {os.getpid()} since 2"),
    ):
        roots.forget(catalog, base / "photos")
    with catalog.database.exclusive():
        pass


def test_models_stay_side_by_side_when_another_becomes_current(
    base: Path, catalog: Catalog
) -> None:
    fill(catalog, root_at(catalog, base / "photos"), b"1")
    other = writing.adopt_model(catalog, "other", "e" * 64, 2, "bf16")
    current = catalog.current_model()
    assert current is not None and current.name == "small"
    vectors = Vectors(other.id, {digest(1): np.array([1, 0], np.float32)})
    writing.record(catalog, [], [], vectors)
    assert catalog.embeddings.missing(other.id) == []
    writing.switch_model(catalog, other)
    assert catalog.current_model() == other and catalog.counts().embedded == 1
    kept = catalog.model("d" * 64)
    assert kept and catalog.embeddings.vector(kept.id, 1) is not None
    writing.drop_model(catalog, kept)
    assert catalog.models() == [other] and catalog.embeddings.vector(kept.id, 1) is None
    assert catalog.rows("SELECT DISTINCT model_id FROM embeddings") == [(other.id,)]


def put_moments(catalog: Catalog) -> None:
    """Make image 1 one of three moments, with a text in each."""
    with catalog.transaction() as connection:
        for moment in range(3):
            moments = "INSERT INTO moments VALUES (1, :moment, 'second', 2.5)"
            texts = "INSERT INTO texts VALUES (:moment + 1, 1, :moment, 'shown', 'ocr', NULL, 'a')"
            copied = (
                "INSERT INTO embeddings (model_id, image_id, moment, vector) SELECT model_id, "
                "image_id, :moment, vector FROM embeddings WHERE image_id = 1 AND moment = 0"
            )
            for each in (moments, texts, *([copied] if moment else ())):
                connection.execute(text(each), {"moment": moment})


@sqlite_only
def test_backup_and_recovery_keep_moments_and_texts(base: Path, catalog: Catalog) -> None:
    fill(catalog, root_at(catalog, base / "photos"), b"1", b"2")
    put_moments(catalog)
    counted = "SELECT (SELECT count(*) FROM moments), (SELECT count(*) FROM texts)"
    catalog.database.backup(base / "copy.sqlite")
    with closing(sqlite3.connect(base / "copy.sqlite")) as copy:
        assert copy.execute(counted).fetchall() == [(3, 3)]
    catalog.close()
    assert recover(catalog.place)
    with closing(Catalog.open(catalog.place)) as recovered:
        assert recovered.rows(counted) == [(3, 3)]
        assert recovered.rows("SELECT count(*) FROM embeddings") == [(4,)]


def test_an_image_may_have_several_moments_and_texts_that_go_with_it(
    base: Path, catalog: Catalog
) -> None:
    fill(catalog, root_at(catalog, base / "photos"), b"1", b"2")
    model, before = catalog.current_model(), list(catalog.embeddings.vectors(1))
    assert model
    put_moments(catalog)
    assert catalog.embeddings.count(model.id) == catalog.embeddings.at_least(model.id, 9) == 2
    assert catalog.embeddings.missing(model.id) == []
    firsts = [ids.tolist() for ids, _ in catalog.embeddings.vectors(1, firsts=True)]
    assert firsts == [ids.tolist() for ids, _ in before]
    [_, (further, vectors)] = catalog.embeddings.vectors(1)
    assert further.tolist() == [vector_id(1, 1), vector_id(1, 2)] and len(vectors) == 2
    assert all("is missing" in problem.what for problem in check(catalog.place, repair=False))
    with catalog.transaction() as connection:
        connection.execute(text("DELETE FROM moments WHERE moment = 2"))
    [problem] = [p for p in check(catalog.place, repair=True) if "moment" in p.what]
    assert "1 row in embeddings: missing moment" in problem.what and problem.mended
    writing.remove_files(catalog, [(1, path) for path, *_ in catalog.files.within(1)])
    writing.sweep(catalog)
    for table in ("moments", "texts", "embeddings"):
        assert catalog.rows(f"SELECT count(*) FROM {table}") == [(0,)]
