"""Connections that are lent: none is left behind, and a file that changes under them is noticed."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog import writing
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.pool import MAX_CONNECTIONS
from retrieval.collection.check import check
from retrieval.errors import LibraryNotFound
from retrieval.locate import FILE_NAME
from tests.retrieval.small import paint_many, run_index

ROOT = Path(__file__).parents[3]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
COUNTED = "SELECT count(*) FROM files"


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    paint_many(tmp_path / "photos", 6)
    with closing(Catalog.open(tmp_path / "library", create=True)) as catalog:
        run_index(catalog, [tmp_path / "photos"])
        yield catalog


def opened(folder: Path) -> list[str]:
    """The descriptors of this process that lead below a folder."""
    links = (Path("/proc/self/fd") / number for number in os.listdir("/proc/self/fd"))
    held = (os.readlink(link) for link in links if link.is_symlink())
    return [path for path in held if path.startswith(os.fspath(folder))]


def at_once(count: int, work: Callable[[], object]) -> None:
    """Threads that live no longer than the work."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@LINUX
def test_threads_that_come_and_go_leave_nothing_open(catalog: Catalog) -> None:
    at_once(1, catalog.images.count)
    few = len(opened(catalog.local_folder))  # the catalog, its WAL, its memory, one to reuse
    for _ in range(400):
        at_once(1, catalog.images.count)
    assert len(opened(catalog.local_folder)) == few <= 4
    for _ in range(10):
        at_once(40, catalog.images.count)
        assert len(opened(catalog.local_folder)) <= 2 * MAX_CONNECTIONS + 1
    catalog.close()
    assert opened(catalog.local_folder) == []


@LINUX
def test_it_can_be_closed_while_others_read(catalog: Catalog) -> None:
    wrong: list[object] = []

    def reading() -> None:
        for _ in range(50):
            try:
                if catalog.images.count() != 6:
                    wrong.append("count")
            except BaseException as error:
                wrong.append(error)

    threads = [threading.Thread(target=reading) for _ in range(12)]
    for thread in threads:
        thread.start()
    catalog.close()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert opened(catalog.local_folder) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_process_that_was_forked_takes_none_of_the_parents_locks(catalog: Catalog) -> None:
    with catalog.database._connections.lent() as held:  # type: ignore[attr-defined]
        held.execute("BEGIN")
        held.execute(COUNTED).fetchone()
        if (child := os.fork()) == 0:
            is_right = catalog.images.count() == 6
            catalog.close()
            os._exit(0 if is_right else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        truncate = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0); \
            c.execute('UPDATE images SET width = 1'); c.commit(); \
            print(c.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchone()[0])"
        other = [sys.executable, "-c", truncate, catalog.database.path]
        said = subprocess.run(other, capture_output=True, text=True, check=True).stdout
        assert said == "1\n"  # it could not, as the view of the one that is lent is in use
        held.execute("ROLLBACK")


def test_opening_a_library_again_drops_no_lock_of_this_process(catalog: Catalog) -> None:
    """A file that is opened and closed loses its locks, and with them its WAL to another process
    that believes itself alone.
    """
    catalog.rows("SELECT 1 FROM images")  # holds a lock from now on
    with catalog.database.transaction() as connection:
        connection.exec_driver_sql("UPDATE roots SET path = path")
    wal = catalog.database.place / f"{FILE_NAME}-wal"
    held = wal.stat().st_ino
    with closing(Catalog.open(catalog.database.place)) as again:
        again.rows("SELECT 1 FROM images")
    another = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM roots')"
    )
    ran = [sys.executable, "-c", f"{another}.fetchall(); c.close()", wal.with_name(FILE_NAME)]
    subprocess.run(ran, check=True)
    assert wal.stat().st_ino == held


def test_a_catalog_that_took_the_place_of_another_is_read(catalog: Catalog, tmp_path: Path) -> None:
    assert catalog.images.count() == 6
    pool = catalog.database._connections  # type: ignore[attr-defined]
    with closing(sqlite3.connect(tmp_path / "other")) as other, pool.lent() as held:
        held.backup(other)
        other.execute("DELETE FROM files")
        other.commit()
    for end in ("-wal", "-shm"):
        Path(f"{catalog.database.path}{end}").unlink()
    os.replace(tmp_path / "other", catalog.database.path)
    assert catalog.rows(COUNTED) == [(0,)]
    summary = run_index(catalog, [tmp_path / "photos"])
    assert summary.new + summary.copied == 6
    with closing(Catalog.open(catalog.place)) as again:
        assert again.rows(COUNTED) == [(6,)]
    catalog.database.path.unlink()
    with pytest.raises(LibraryNotFound, match="is gone"):
        catalog.images.count()


def test_what_a_repair_put_in_place_is_read_and_written(catalog: Catalog, tmp_path: Path) -> None:
    catalog.database.rest()
    before = catalog.database.path.stat().st_ino
    catalog.database.checkpoint()
    with catalog.database.path.open("r+b") as file:  # a page of its own for each table
        file.seek(2 * 8192)
        file.write(os.urandom(8192))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "retrieval.cli.main",
            "--library",
            catalog.local_folder,
            "check",
            "--repair",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    assert catalog.database.path.stat().st_ino != before
    run_index(catalog, [tmp_path / "photos"])
    assert catalog.rows(COUNTED) == [(6,)]
    with closing(Catalog.open(catalog.place)) as again:
        assert again.rows(COUNTED) == [(6,)]
    assert check(catalog.place, repair=False) == []


SHORTENED = """
import os, sys
from pathlib import Path
from retrieval.catalog.reading import Catalog
catalog = Catalog.open(Path(sys.argv[1]))
for size in (0, 100, 32767):
    catalog.images.count()
    os.truncate(f"{catalog.database.path}-shm", size)
    print(catalog.images.count(), catalog.rows("PRAGMA integrity_check")[0][0])
"""


@pytest.mark.skipif(os.name != "posix", reason="others do not let a mapped file be cut short")
def test_shared_memory_that_was_cut_short_ends_no_process(catalog: Catalog) -> None:
    """Changes that are in the WAL alone are there still."""
    with closing(sqlite3.connect(catalog.database.path)) as other:
        other.execute("INSERT INTO images (digest, width, height, format) VALUES (x'00', 1, 1, '')")
        other.commit()
        catalog.close()
        reader = [sys.executable, "-c", SHORTENED, catalog.local_folder]
        run = subprocess.run(reader, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "7 ok\n" * 3), run.stderr


def test_at_rest_the_file_is_whole_by_itself(catalog: Catalog, tmp_path: Path) -> None:
    """After a run, and when nobody asked for a while."""

    def alone() -> int:
        """What the file holds without the others."""
        (tmp_path / "alone").write_bytes(catalog.database.path.read_bytes())
        with closing(sqlite3.connect(f"file:{tmp_path / 'alone'}?immutable=1", uri=True)) as copy:
            return int(copy.execute(COUNTED).fetchone()[0])

    catalog.images.count()  # which has it open
    paint_many(tmp_path / "photos", 2, first=50)
    with closing(Catalog.open(catalog.place)) as writer:
        run_index(writer, [tmp_path / "photos"])
        assert alone() == 8
        writing.remove_files(writer, [(1, b"000.png")])
    assert alone() == 8
    catalog.database._connections.rest(0)  # type: ignore[attr-defined]
    assert alone() == 7
    assert not Path(f"{catalog.database.path}-wal").exists()
    assert catalog.rows(COUNTED) == [(7,)]
    assert catalog.database.path.name == FILE_NAME
