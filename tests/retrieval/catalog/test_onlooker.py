"""Libraries that may be read and not written: what is read is right, whoever writes meanwhile."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite import onlooker
from retrieval.catalog.sqlite.onlooker import Onlooker
from retrieval.errors import LibraryBusy, LibraryReadOnly
from retrieval.locate import FILE_NAME

ROOT = Path(__file__).parents[3]
NOBODY = 65534
ROWS = 3_000

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can be somebody else"
)

# Reads as somebody who may not write; whatever Python needs is imported before.
READER = """
import json, os, sys, time
from collections import Counter
from pathlib import Path
from retrieval.catalog.reading import Catalog
from retrieval.errors import RetrieveError
import retrieval.catalog.sqlite.onlooker
ENOUGH = 5  # answers, however busy the machine is
folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
os.setuid(int(sys.argv[3]))
catalog, tally, until = Catalog.open(folder), Counter(), time.monotonic() + seconds
print("reading", flush=True)
while time.monotonic() < until or tally["right"] <= ENOUGH and time.monotonic() < until + 60:
    try:
        rows = catalog.rows("SELECT n, pad FROM checked ORDER BY id")
        told = int((folder / "committed").read_text() or 0)
        [(later,)] = catalog.rows("SELECT max(n) FROM checked")
        is_whole = len(rows) == int(sys.argv[4]) and len({n for n, _ in rows}) == 1
        tally["right" if is_whole and later >= told else "wrong"] += 1
    except RetrieveError as error:
        tally[f"{type(error).__name__}: {error}"] += 1
    time.sleep(0.002)
print(json.dumps(tally))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A library that everybody may read and only root may write."""
    folder = Path(tempfile.mkdtemp(prefix="retrieve-test-"))
    folder.chmod(0o755)
    Catalog.open(folder, create=True).close()
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("CREATE TABLE checked (id INTEGER PRIMARY KEY, n INTEGER, pad BLOB)")
        rows = ((number, os.urandom(300)) for number in range(ROWS))
        connection.executemany("INSERT INTO checked VALUES (?, 0, ?)", rows)
        connection.commit()
    (folder / "committed").write_text("0")
    yield folder
    shutil.rmtree(folder)


def write(folder: Path, number: int, connection: sqlite3.Connection) -> None:
    """Every row changes in one transaction; then it is told, in a file that is replaced."""
    connection.execute("UPDATE checked SET n = ?", (number,))
    connection.commit()
    (folder / "new").write_text(str(number))
    (folder / "new").replace(folder / "committed")


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("how", ["open", "close each time"])
def test_answers_are_right_while_the_owner_writes(folder: Path, how: str, journal: str) -> None:
    """Opened at rest; then the owner comes, again and again or to stay."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
    command = [sys.executable, "-c", READER, *map(str, (folder, 2, NOBODY, ROWS))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout and reader.stdout.readline() == "reading\n"
        number, connection = 0, sqlite3.connect(folder / FILE_NAME)
        while reader.poll() is None:
            number += 1
            write(folder, number, connection)
            if how != "open":
                connection.close()
                connection = sqlite3.connect(folder / FILE_NAME)
        connection.close()
        tally = json.loads(reader.stdout.read())
    busy = sum(count for said, count in tally.items() if said.startswith("LibraryBusy"))
    right = tally.pop("right")
    assert right > 5 and sum(tally.values()) == busy, tally


def as_nobody(folder: Path, code: str) -> str:
    """What this prints."""
    start = (
        "import os, sys; from pathlib import Path; from retrieval.catalog.reading import Catalog; "
        f"import retrieval.catalog.sqlite.onlooker; os.setuid({NOBODY})\n"
        "folder = Path(sys.argv[1])\n"
    )
    command = [sys.executable, "-c", start + code, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_a_killed_owner_left_in_its_wal_is_read(folder: Path) -> None:
    killed = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
        c.execute('UPDATE checked SET n = 7'); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", killed, folder / FILE_NAME], check=True)
    read = "print(Catalog.open(folder).rows('SELECT DISTINCT n FROM checked'))"
    assert as_nobody(folder, read) == "[(7,)]\n"
    (folder / f"{FILE_NAME}-shm").unlink()  # as on another machine
    before = sorted(os.listdir(folder))
    assert as_nobody(folder, read) == "[(7,)]\n"
    assert sorted(os.listdir(folder)) == before


def test_an_older_catalog_that_cannot_be_brought_up_to_date_says_so(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 2")
    read = """
try:
    Catalog.open(folder)
except Exception as error:
    print(type(error).__name__, error)
"""
    said = as_nobody(folder, read)
    assert said.startswith(LibraryReadOnly.__name__) and "older version" in said


def test_half_a_change_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an ordinary journal, the file itself holds it while the owner is at it."""
    monkeypatch.setattr(onlooker, "MAX_WAIT_SECONDS", 0.2)
    path = folder / FILE_NAME
    reader = Onlooker(path, lambda connection: None)
    with closing(sqlite3.connect(path, isolation_level=None)) as owner, closing(reader):
        owner.execute("PRAGMA journal_mode = DELETE")
        owner.execute("PRAGMA cache_size = 10")  # pages; others go into the file at once
        owner.execute("BEGIN EXCLUSIVE")
        owner.execute("UPDATE checked SET n = 8")
        count = "SELECT count(*), max(n) FROM checked"
        with pytest.raises(LibraryBusy, match="has an unfinished change"):
            reader.read(lambda connection: connection.execute(count).fetchone())
        owner.execute("COMMIT")
        found = reader.read(lambda connection: connection.execute(count).fetchone())
        assert found == (ROWS, 8)


def test_on_a_mount_that_is_read_only(folder: Path) -> None:
    """The same file system can be written elsewhere: it is no medium that cannot change."""
    script = (
        f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder} && "
        f'exec {sys.executable} -c "$1" {folder}'
    )
    read = """
import sys
from pathlib import Path
from retrieval.catalog.reading import Catalog
catalog = Catalog.open(Path(sys.argv[1]))
print(catalog.rows('SELECT max(n) FROM checked'), flush=True)
sys.stdin.readline()
print(catalog.rows('SELECT max(n) FROM checked'), type(catalog.database._connections).__name__)
"""
    command = ["unshare", "-m", "sh", "-c", script, "sh", read]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as reader:
        assert reader.stdin and reader.stdout
        if not (first := reader.stdout.readline()):
            pytest.skip("nothing may be mounted here")
        with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
            write(folder, 9, connection)
        then, _ = reader.communicate("\n", timeout=60)
    assert (first, then) == ("[(0,)]\n", "[(9,)] Onlooker\n")
