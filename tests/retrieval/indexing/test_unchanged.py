"""Whether a file is as it was: by size, time, inode and last change, whatever numbers those are."""

import os
import shutil
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.catalog.reading import Catalog
from retrieval.indexing.changes import FEW_RENUMBERED
from retrieval.records import MAX_INTEGER, MIN_INTEGER, Found, found_at
from tests.retrieval.small import SmallEncoder, as_counts, contents, paint, paint_many, run_index

# Further than any file system's: tmpfs has all of 64 bits of seconds, ext4 ends in 2446.
SECONDS = (15_032_385_535, 1 << 40, (1 << 62) - 1, -(1 << 31), -(1 << 40), -1, 0)


def forged(catalog: Catalog, assignment: str) -> None:
    """What another system, or an older version, would have written."""
    from sqlalchemy import text

    with catalog.transaction() as connection:
        connection.execute(text(f"UPDATE files SET {assignment}"))


def write_secretly(path: Path, seed: int) -> None:
    """Another picture of the same size, and the old time, as `exiftool -P` leaves it."""
    before = path.stat()
    paint(path, seed)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def bitmaps(folder: Path, count: int) -> list[Path]:
    """All of one size and one time."""
    paths = [paint(folder / f"{seed:03}.bmp", seed) for seed in range(count)]
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    return paths


# -- numbers of any size -------------------------------------------------------------------------

wide = st.integers(-(1 << 96), 1 << 96) | st.sampled_from(
    [MAX_INTEGER, MAX_INTEGER + 1, MIN_INTEGER, MIN_INTEGER - 1]
)


@given(mtime_ns=wide, ctime_ns=wide, inode=st.integers(0, (1 << 128) - 1))
def test_every_number_of_a_file_system_fits_into_a_catalog(
    mtime_ns: int, ctime_ns: int, inode: int
) -> None:
    class Status:
        st_size, st_mtime_ns, st_ctime_ns, st_ino = 5, mtime_ns, ctime_ns, inode

    found = found_at(b"a", Status())  # type: ignore[arg-type]
    assert all(MIN_INTEGER - 1 <= number <= MAX_INTEGER for number in found[1:])
    assert found.mtime_ns >= MIN_INTEGER  # the one below is no file's
    if (
        MIN_INTEGER <= mtime_ns <= MAX_INTEGER
        and MIN_INTEGER <= ctime_ns <= MAX_INTEGER
        and inode <= MAX_INTEGER
    ):
        assert found == Found(b"a", 5, mtime_ns, ctime_ns, inode)
    assert found.inode % (1 << 64) == inode % (1 << 64)


@pytest.mark.parametrize("seconds", SECONDS)
def test_a_file_of_any_time_is_indexed_and_then_unchanged(
    catalog: Catalog, base: Path, seconds: int
) -> None:
    photos = base / "photos"
    paint_many(photos, 3)
    os.utime(photos / "001.png", ns=(seconds * 10**9, seconds * 10**9))
    assert as_counts(run_index(catalog, [photos])) == {"new": 3, "encoded": 3}
    assert as_counts(run_index(catalog, [])) == {"unchanged": 3}
    assert catalog.places.image_of_path(photos / "001.png")
    images = catalog.images.by_id([1, 2, 3]).values()
    assert [type(image.date) for image in images] == [datetime] * 3
    assert min(images, key=lambda image: image.date).date.isoformat()


def test_a_failure_of_the_disk_is_tried_again_whatever_the_time_of_the_file(
    catalog: Catalog, base: Path
) -> None:
    [path] = paint_many(base / "photos", 1)
    os.utime(path, ns=(-1, -1))  # once the mark of those that are to be tried again
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root reads every file")
    assert as_counts(run_index(catalog, [path.parent])) == {"failed": 1}
    path.chmod(0o644)
    assert as_counts(run_index(catalog, [path.parent]))["changed"] == 1


# -- same size and time, other content -----------------------------------------------------------


def test_a_file_whose_time_was_put_back_is_changed(catalog: Catalog, base: Path) -> None:
    paths = bitmaps(base / "photos", 4)
    run_index(catalog, [base / "photos"])
    write_secretly(paths[0], 50)
    assert catalog.places.image_of_path(paths[0]) is None
    assert as_counts(run_index(catalog, [])) == {"changed": 1, "unchanged": 3, "encoded": 1}
    assert as_counts(run_index(catalog, [])) == {"unchanged": 4}


@pytest.mark.parametrize("count", [2, 2 * FEW_RENUMBERED + 10])
def test_files_that_swap_names_are_changed(catalog: Catalog, base: Path, count: int) -> None:
    first, second, *_ = bitmaps(base / "photos", count)
    run_index(catalog, [base / "photos"])
    held = contents(catalog)
    for source, goal in ((first, base / "other"), (second, first), (base / "other", second)):
        os.rename(source, goal)
    summary = as_counts(run_index(catalog, []))
    assert summary.pop("changed") == 2 and summary.get("unchanged", 0) == count - 2
    assert "encoded" not in summary
    after = contents(catalog)
    assert (after[str(first)], after[str(second)]) == (held[str(second)], held[str(first)])


def test_what_swaps_names_without_a_trace_but_the_inode_is_changed(
    catalog: Catalog, base: Path
) -> None:
    paths = bitmaps(base / "photos", 4)
    run_index(catalog, [base / "photos"])
    os.rename(paths[0], base / "other")
    os.rename(paths[1], paths[0])
    os.rename(base / "other", paths[1])
    for path in paths:  # as on file systems whose ctime a name does not concern
        status = path.stat()
        forged(catalog, f"ctime_ns = {status.st_ctime_ns} WHERE path = CAST('{path.name}' AS BLOB)")
    assert as_counts(run_index(catalog, [])) == {"changed": 2, "unchanged": 2}


def test_what_only_looks_changed_is_hashed_once_and_not_encoded(
    catalog: Catalog, base: Path
) -> None:
    paths = bitmaps(base / "photos", 5)
    run_index(catalog, [base / "photos"])
    paths[0].chmod(0o600)
    os.link(paths[1], base / "a name elsewhere.bmp")
    shutil.copytree(base / "photos", base / "copy")
    encoder = SmallEncoder()
    assert as_counts(run_index(catalog, [], encoder=encoder)) == {"unchanged": 5}
    assert encoder.pictures == 0
    known = {row[0]: row[1:5] for row in catalog.files.within(1)}
    assert known == {
        os.fsencode(path.name): found_at(b"", path.stat())[1:] for path in paths
    }  # so that the next run need not look again


def test_numbers_that_do_not_last_are_not_believed(catalog: Catalog, base: Path) -> None:
    bitmaps(base / "photos", FEW_RENUMBERED + 2)
    run_index(catalog, [base / "photos"])
    forged(catalog, "inode = inode + 1000000")  # as if mounted again, from a disk without inodes
    before = catalog.files.within(1)
    assert as_counts(run_index(catalog, [])) == {"unchanged": FEW_RENUMBERED + 2}
    assert catalog.files.within(1) == before  # nothing was read, or it would have been noted


def test_a_catalog_of_an_older_version_is_filled_in_at_once(catalog: Catalog, base: Path) -> None:
    paths = bitmaps(base / "photos", 4)
    run_index(catalog, [base / "photos"])
    held = catalog.files.within(1)
    forged(catalog, "ctime_ns = NULL, inode = NULL")
    assert catalog.places.image_of_path(paths[2])
    assert as_counts(run_index(catalog, [])) == {"unchanged": 4}
    assert catalog.files.within(1) == held
    write_secretly(paths[0], 50)
    assert as_counts(run_index(catalog, []))["changed"] == 1


# -- again ---------------------------------------------------------------------------------------


def test_again_reads_whatever_size_and_time_say(catalog: Catalog, base: Path) -> None:
    paths = bitmaps(base / "photos", 4)
    (base / "photos/bad.png").write_bytes(b"no picture")
    run_index(catalog, [base / "photos"])
    write_secretly(paths[0], 50)
    status = paths[0].stat()  # a change that nothing tells of
    forged(
        catalog,
        f"ctime_ns = {status.st_ctime_ns}, inode = {status.st_ino} "
        f"WHERE path = CAST('{paths[0].name}' AS BLOB)",
    )
    assert as_counts(run_index(catalog, [])) == {"unchanged": 5}
    summary = run_index(catalog, [paths[1]], again=True)
    assert as_counts(summary) == {"unchanged": 1}
    summary = run_index(catalog, [base / "photos"], again=True)
    assert as_counts(summary) == {"changed": 1, "unchanged": 4, "encoded": 1}
