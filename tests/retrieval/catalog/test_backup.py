"""`retrieve backup`: a copy of the catalog that is whole, and never in the place of something."""

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.errors import (
    CatalogDamaged,
    LibraryNotFound,
    PathNotFound,
    PathTaken,
)
from retrieval.locate import FILE_NAME, beside

ROOT = Path(__file__).parents[3]


def counted(file: Path) -> tuple[int, int]:
    """Images and files, read where nothing may be written beside it."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        images, files = "SELECT count(*) FROM images", "SELECT count(*) FROM files"
        return copy.execute(images).fetchone()[0], copy.execute(files).fetchone()[0]


def test_a_backup_is_the_whole_library(indexed: Path, home: Path) -> None:
    """What lies in the WAL alone as well; and it finds what the library found."""
    file = home / "copy.sqlite"
    with Library.open(indexed) as library:
        found = [(match.path, match.score) for match in library.search("red", 20)]
        with closing(sqlite3.connect(library.folder / FILE_NAME)) as other:
            other.execute("UPDATE images SET format = 'WEBP'")
            other.commit()
            assert library.backup(file) == file.stat().st_size
    assert counted(file) == (12, 14)
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(home)) == ["copy.sqlite", "photos"]
    shutil.rmtree(beside(indexed))
    beside(indexed).mkdir()
    file.rename(beside(indexed) / FILE_NAME)
    with Library.open(indexed) as restored:
        again = restored.search("red", 20)
        assert [(match.path, match.score) for match in again] == found
        assert {match.image.format for match in again} == {"WEBP"}
        assert restored.index().unchanged == 14
        assert restored.check() == []


def test_nothing_that_is_there_is_overwritten_unless_it_is_asked_for(
    indexed: Path, home: Path
) -> None:
    other, link, dangling = home / "other", home / "link", home / "dangling"
    other.write_text("mine")
    link.symlink_to(other)
    dangling.symlink_to(home / "nowhere")
    with Library.open(indexed) as library:
        for place in (other, link, dangling):
            with pytest.raises(PathTaken, match="already exists; --force replaces it"):
                library.backup(place)
        for place in (link, dangling):
            library.backup(place, force=True)
            assert counted(place) == (12, 14) and not place.is_symlink()
        assert other.read_text() == "mine" and not (home / "nowhere").exists()
        library.backup(other, force=True)
        assert counted(other) == (12, 14)


def test_some_places_are_never_written_to(indexed: Path, home: Path) -> None:
    own = beside(indexed) / FILE_NAME
    (home / "same").symlink_to(own)
    with Library.open(indexed) as library:
        for place in (own, Path(f"{own}-wal"), home / "same"):
            with pytest.raises(PathTaken, match="the library itself"):
                library.backup(place, force=True)
        with pytest.raises(PathTaken, match="is a folder; name a file"):
            library.backup(home, force=True)
        with pytest.raises(PathNotFound, match="no such folder"):
            library.backup(home / "none" / "copy")
        if os.name == "posix":
            os.mkfifo(home / "pipe")
            with pytest.raises(PathTaken, match="not a regular file"):
                library.backup(home / "pipe", force=True)
    with pytest.raises(LibraryNotFound), Library.open(home / "none") as none:
        none.backup(home / "copy")


def test_links_that_lie_in_wait_are_not_followed(indexed: Path, home: Path) -> None:
    """At the name under which a copy is made until it is whole."""
    (home / "victim").write_text("mine")
    (home / f".copy.{os.getpid()}.part").symlink_to(home / "victim")
    with Library.open(indexed) as library:
        library.backup(home / "copy")
    assert (home / "victim").read_text() == "mine" and counted(home / "copy") == (12, 14)


def test_a_damaged_catalog_gives_no_copy(indexed: Path, home: Path) -> None:
    with Library.open(indexed) as library:
        library.catalog.database.checkpoint()
    with (beside(indexed) / FILE_NAME).open("r+b") as file:
        file.seek(3 * 8192)
        file.write(bytes(range(256)) * 64)
    with (
        Library.open(indexed) as library,
        pytest.raises(CatalogDamaged, match="check --repair"),
    ):
        library.backup(home / "copy")
    assert sorted(os.listdir(home)) == ["photos"]


def test_a_copy_is_of_one_moment_whoever_writes_meanwhile(indexed: Path, home: Path) -> None:
    """A writer moves a file to and fro, in one transaction each."""
    stop, commits = threading.Event(), 0

    def write() -> None:
        nonlocal commits
        path = beside(indexed) / FILE_NAME
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            while not stop.is_set():
                connection.execute("UPDATE images SET width = ? ", (commits,))
                connection.execute("UPDATE images SET height = ?", (commits,))
                connection.commit()
                commits += 1

    with Library.open(indexed) as library, closing(library.catalog):
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for number in range(20):
                file = home / f"{number}"
                library.backup(file)
                with closing(sqlite3.connect(file)) as copy:
                    sizes = copy.execute("SELECT DISTINCT width, height FROM images").fetchall()
                assert len(sizes) == 1 or number == 0, sizes
                assert counted(file) == (12, 14)
        finally:
            stop.set()
            writer.join()
    assert commits > 20


@pytest.mark.skipif(sys.platform != "linux", reason="a mount of its own")
def test_a_disk_that_is_full_is_the_one_that_is_named(indexed: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    code = "from retrieval.cli.main import main; main()"
    script = (
        f"mount -t tmpfs -o size=64k none {disk} || exit 9; "
        f"{sys.executable} -c '{code}' --library {indexed} backup {disk}/copy; "
        f"code=$?; ls -A {disk}; exit $code"
    )
    run = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    if run.returncode in (9, 1) and "error" not in run.stderr:
        pytest.skip("nothing may be mounted here")
    assert run.returncode == 1 and run.stdout == ""
    assert f"error: cannot write {disk}" in run.stderr and "full" in run.stderr


def test_the_command(indexed: Path, home: Path) -> None:
    def backup(*arguments: object) -> "subprocess.CompletedProcess[str]":
        words = ["--library", indexed, "backup", *arguments]
        return subprocess.run(
            [sys.executable, "-m", "retrieval.cli.main", *map(str, words)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )

    first = backup("copy.sqlite")
    size = (home / "copy.sqlite").stat().st_size
    assert first.stdout == f"wrote copy.sqlite ({size / 1000:.1f} KB)\n"
    again = backup("copy.sqlite")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"error: {home / 'copy.sqlite'} already exists; --force replaces it\n"
    assert backup("copy.sqlite", "--force").returncode == 0
