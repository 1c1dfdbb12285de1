"""A library that came from elsewhere, with links under the names that we write."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from retrieval import Library, RetrieveError
from retrieval.paths import database_files
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[3]
PROGRAM = """
import os, sys
from pathlib import Path
from tests.retrieval.catalog.test_links import use

WRITING = os.O_WRONLY | os.O_RDWR

def saw(event, given):
    if event == "open" and isinstance(given[0], (str, bytes)) and given[2] & WRITING:
        print("write", os.fsdecode(given[0]))
    elif event == "sqlite3.connect":
        print("sqlite", os.fsdecode(given[0]))

sys.addaudithook(saw)
use(Path(sys.argv[1]))
"""


def use(photos: Path) -> None:
    """All that writes into a library, as far as it will."""
    from retrieval.catalog import thumbnail_cache

    for number, step in enumerate(
        (
            lambda library: library.index(photos, workers=0),
            lambda library: library.search("a red car"),
            lambda library: library.forget(photos / "large/blue.png"),
            lambda library: library.check(repair=True),
            lambda library: library.index(photos, workers=0),
        )
    ):
        paint(photos / f"new {number}.png", "red", 100 + number)
        for index in (photos / ".retrieve").glob("vectors-*.faiss"):
            index.unlink()  # it is made anew
        with suppress(RetrieveError), Library.open(photos / ".retrieve") as library:
            step(library)
    cache = thumbnail_cache.ThumbnailCache(photos / ".retrieve")
    cache.put(b"digest", b"webp")
    cache.close()


def names(photos: Path) -> set[str]:
    """Of the files in the library's folder that a process writes, or lets SQLite write."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(photos)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found = set[str]()
    for line in run.stdout.splitlines():
        kind, _, path = line.partition(" ")
        if Path(path).parent == photos / ".retrieve":
            files = database_files(Path(path)) if kind == "sqlite" else [Path(path)]
            found |= {file.name for file in files}
    return found


def test_nothing_is_written_through_a_link(indexed: Path, tmp_path: Path) -> None:
    shutil.copytree(indexed, tmp_path / "trial")
    found = names(tmp_path / "trial")
    assert {"write.lock", "write.holder.new", "catalog.sqlite-wal", "thumbnails.sqlite"} <= found
    assert any(name.endswith(".faiss.part") for name in found), found
    victim = tmp_path / "victim"
    for name in sorted(found):
        victim.write_bytes(b"precious")
        photos = Path(shutil.copytree(indexed, tmp_path / f"with {name}"))
        planted = photos / ".retrieve" / name
        planted.unlink(missing_ok=True)
        planted.symlink_to(victim)
        use(photos)
        assert victim.read_bytes() == b"precious", name
        shutil.rmtree(photos)


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal"])
def test_a_catalog_that_is_a_link_is_refused_in_a_sentence(
    indexed: Path, tmp_path: Path, end: str
) -> None:
    file = indexed / ".retrieve" / f"catalog.sqlite{end}"
    if file.exists():
        shutil.move(file, tmp_path / "moved")
    else:
        (tmp_path / "moved").touch()
    os.symlink(tmp_path / "moved", file)
    with pytest.raises(RetrieveError, match="is a link, which a library may not contain"):
        Library.open(indexed / ".retrieve").status()
