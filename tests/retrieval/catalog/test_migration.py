"""Catalogs that older versions wrote: as they were then, opened and filled in by today's."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from retrieval.catalog.database import SCHEMA_VERSION
from retrieval.catalog.reading import Catalog
from retrieval.collection.check import check
from retrieval.decoding.profiles import Meaning, made
from retrieval.locate import FILE_NAME
from retrieval.records import Shot
from tests.retrieval.small import SmallEncoder, as_counts, contents, paint, run_index

VERSION_1 = """
CREATE TABLE models (id INTEGER NOT NULL, name VARCHAR NOT NULL, digest VARCHAR NOT NULL,
    dim INTEGER NOT NULL, precision VARCHAR NOT NULL, is_current BOOLEAN NOT NULL,
    PRIMARY KEY (id), UNIQUE (digest));
CREATE TABLE roots (id INTEGER NOT NULL, path BLOB NOT NULL, entire BOOLEAN NOT NULL,
    PRIMARY KEY (id), UNIQUE (path));
CREATE TABLE images (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL,
    width INTEGER NOT NULL, height INTEGER NOT NULL, format VARCHAR NOT NULL, taken_at VARCHAR,
    UNIQUE (digest));
CREATE TABLE files (root_id INTEGER NOT NULL, path BLOB NOT NULL, size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, image_id INTEGER, failure VARCHAR, PRIMARY KEY (root_id, path),
    FOREIGN KEY(root_id) REFERENCES roots (id) ON DELETE CASCADE,
    FOREIGN KEY(image_id) REFERENCES images (id)) WITHOUT ROWID;
CREATE INDEX failed_files ON files (root_id, path) WHERE failure IS NOT NULL;
CREATE INDEX files_of_image ON files (image_id);
CREATE TABLE embeddings (id INTEGER NOT NULL, model_id INTEGER NOT NULL,
    image_id INTEGER NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (id),
    UNIQUE (image_id, model_id),
    FOREIGN KEY(model_id) REFERENCES models (id) ON DELETE CASCADE,
    FOREIGN KEY(image_id) REFERENCES images (id) ON DELETE CASCADE);
PRAGMA user_version = 1;
"""
TABLES = {
    "models": "id, name, digest, dim, precision, is_current",
    "roots": "id, path, entire",
    "images": "id, digest, width, height, format, taken_at",
    "files": "root_id, path, size, mtime_ns, image_id, failure",
    "embeddings": "id, model_id, image_id, vector",
}


def as_of_version_1(catalog: Path) -> None:
    """Write a catalog anew with the tables, and the columns alone, that version 1 had."""
    old = catalog.with_name("old.sqlite")
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
        connection.execute("ATTACH ? AS new", (os.fspath(catalog),))
        for table, columns in TABLES.items():
            connection.execute(f"INSERT INTO {table} SELECT {columns} FROM new.{table}")
        connection.commit()
    for end in ("", "-wal", "-shm"):
        catalog.with_name(catalog.name + end).unlink(missing_ok=True)
    old.rename(catalog)


def photograph(path: Path, seed: int, camera: str) -> Path:
    exif = Image.Exif()
    exif[0x0110] = camera
    return paint(path, seed, exif=exif)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three pictures, indexed by version 1."""
    base = Path(os.path.realpath(tmp_path))
    for seed in range(3):
        photograph(base / f"photos/{seed}.jpg", seed, f"Box {seed}")
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        run_index(catalog, [base / "photos"])
    as_of_version_1(base / "library" / FILE_NAME)
    return base / "library"


def test_a_catalog_of_version_1_is_migrated_and_loses_nothing(library: Path) -> None:
    with closing(Catalog.open(library)) as catalog:
        assert catalog.rows("PRAGMA user_version") == [(SCHEMA_VERSION,)]
        assert catalog.counts().embedded == 3 and len(contents(catalog)) == 3
        assert [image.shot for image in catalog.images.by_id([1, 2, 3]).values()] == [None] * 3
        assert len(catalog.images.undescribed()) == 3


@pytest.mark.parametrize(
    ("sentence", "code", "limit"),
    [
        ("it has 30000 × 20000 pixels, more than 200,000,000", "too_large", 200_000_000),
        ("it has 4,294,836,225 pixels, more than 5,000", "too_large", 5_000),
        ("it has more pixels than a picture may have", "too_large", None),
        ("it has 2,000,000,000 bytes, more than 1,073,741,824", "too_many_bytes", None),
        ("the file is empty", "empty", None),
        ("it is not a regular file", "not_a_file", None),
        ("it is not a picture in a format that can be read", "not_a_picture", None),
        ("it cannot be read: Permission denied", "unreadable", None),
        ("it cannot be decoded: broken data stream", "damaged", None),
        ("it takes more memory than there is", "out_of_memory", None),
        ("decoding it took more than 60 s", "timed_out", None),
        ("decoding it ended the worker process (SIGSEGV)", "crashed", None),
        ("whatever another program wrote", "damaged", None),
    ],
)
def test_old_sentences_become_codes(
    library: Path, sentence: str, code: str, limit: int | None
) -> None:
    with closing(sqlite3.connect(library / FILE_NAME)) as connection:
        row = "INSERT INTO files VALUES (1, ?, 1, 1, NULL, ?)"
        connection.execute(row, (b"bad.jpg", sentence))
        connection.commit()
    with closing(Catalog.open(library)) as catalog:
        [failed] = catalog.files.failures()
        assert (failed.reason, failed.code.value) == (sentence, code)
        known = "SELECT failure_limit FROM files WHERE failure_code IS NOT NULL"
        assert catalog.rows(known) == [(limit,)]
        assert check(library, repair=False) == []


def test_a_migrated_catalog_has_the_tables_of_a_new_one(library: Path, tmp_path: Path) -> None:
    def tables(folder: Path) -> dict[str, set[tuple[object, ...]]]:
        with closing(Catalog.open(folder, create=True)) as catalog:
            names = catalog.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")
            return {
                name: {
                    *(
                        (row[1], row[2], row[3])
                        for row in catalog.rows(f"PRAGMA table_info({name})")
                    ),
                    *((row[2], row[4]) for row in catalog.rows(f"PRAGMA index_list({name})")),
                    *(
                        (row[2], row[3], row[6])
                        for row in catalog.rows(f"PRAGMA foreign_key_list({name})")
                    ),
                }
                for (name,) in names
            }

    assert tables(library) == tables(tmp_path / "new")


def test_what_points_nowhere_does_not_stop_a_migration(library: Path) -> None:
    with closing(sqlite3.connect(library / FILE_NAME)) as connection:
        connection.execute("INSERT INTO embeddings VALUES (99, 1, 99, x'00')")
        connection.execute("INSERT INTO embeddings VALUES (98, 77, 1, x'00')")
        connection.commit()
    with closing(Catalog.open(library)) as catalog:
        assert catalog.counts().embedded == 3
        assert catalog.rows("SELECT id FROM embeddings") == [(1,), (2,), (3,)]


def test_the_next_run_fills_it_in_without_encoding(library: Path) -> None:
    photos = library.parent / "photos"
    shutil.move(photos / "1.jpg", photos / "moved.jpg")
    with closing(Catalog.open(library)) as catalog:
        encoder = SmallEncoder()
        assert as_counts(run_index(catalog, [], encoder=encoder)) == {"moved": 1, "unchanged": 2}
        assert encoder.pictures == 0 and catalog.images.undescribed() == []
        shots = {image.shot for image in catalog.images.by_id([1, 2, 3]).values()}
        assert shots == {Shot(camera=f"Box {seed}") for seed in range(3)}


def test_only_what_looks_different_now_is_encoded_again(library: Path) -> None:
    """A picture with a profile that older versions ignored, and a file that they did not read."""
    photos = library.parent / "photos"
    profile = made(Meaning(gamma=1.0))
    with closing(Catalog.open(library)) as catalog:
        run_index(catalog, [])
        paint(photos / "linear.png", 7, icc_profile=profile)
        (photos / "noise.jpg").write_bytes(b"nothing")
        assert as_counts(run_index(catalog, [photos]))["new"] == 1
        before = contents(catalog)
    with closing(sqlite3.connect(library / FILE_NAME)) as connection:  # as if by an older version
        connection.execute("UPDATE images SET decoding = NULL")
        connection.execute("UPDATE embeddings SET vector = zeroblob(length(vector))")
        connection.commit()
    with closing(Catalog.open(library)) as catalog:
        encoder = SmallEncoder()
        run_index(catalog, [], encoder=encoder)
        assert encoder.pictures == 1 and catalog.images.undescribed() == []
        after = contents(catalog)
        place = str(photos / "linear.png")
        assert after[place] == before[place]
        assert sum(after[name] == before[name] for name in after) == 2  # and the failure


def test_what_cannot_be_read_now_is_filled_in_later(library: Path) -> None:
    photos = library.parent / "photos"
    photos.rename(library.parent / "unmounted")
    with closing(Catalog.open(library)) as catalog:
        run_index(catalog, [])
        assert len(catalog.images.undescribed()) == 3
        (library.parent / "unmounted").rename(photos)
        run_index(catalog, [], workers=1)
        assert catalog.images.undescribed() == []
