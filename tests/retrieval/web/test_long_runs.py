"""A server that runs for long: nothing piles up, and what others do to its library is noticed."""

import json
import os
import shutil
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.locate import FILE_NAME, beside
from retrieval.web.state import ServerSettings, Site
from tests.retrieval.web.conftest import asked
from tests.retrieval.web.test_server import OPENER, serving
from tests.torture.soak import Load, soak

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@LINUX
def test_bursts_with_pauses_leave_nothing_open(tmp_path: Path) -> None:
    """Threads come for each burst and go in the pause after it."""
    tally = soak(tmp_path, Load(bursts=12, pause=0.0, renew=0.3), seed=0)
    assert tally.lost == [] and tally.tried == 12, tally


def test_a_server_at_rest_leaves_the_catalog_whole(indexed: Path) -> None:
    wal = beside(indexed) / f"{FILE_NAME}-wal"
    with serving("--library", indexed) as address:
        with OPENER.open(f"{address}api/status", timeout=30) as answer:
            assert json.load(answer)["files"] == 14
        assert wal.exists()
        until = time.monotonic() + 60
        while wal.exists() and time.monotonic() < until:
            time.sleep(0.1)
        assert not wal.exists()
        with OPENER.open(f"{address}api/search?q=red&limit=3", timeout=30) as answer:
            assert len(json.load(answer)["matches"]) == 3


def files(client: TestClient) -> int:
    return int(client.get("/api/status").json()["files"])


def test_a_catalog_that_was_repaired_is_the_one_that_is_served(indexed: Path) -> None:
    own, more = beside(indexed), indexed / "more.png"
    for client in asked(Site(Library.open(indexed), ServerSettings())):
        assert files(client) == 14
        with Library.open(indexed) as library:
            library.catalog.database.checkpoint()
            before = (own / FILE_NAME).stat().st_ino
            with (own / FILE_NAME).open("r+b") as file:
                file.seek(3 * 8192)
                file.write(os.urandom(4 * 8192))
            assert library.check() and library.check(repair=True)
            library.index(indexed, workers=0)
        assert (own / FILE_NAME).stat().st_ino != before
        assert files(client) == 14
        shutil.copy(indexed / "large" / "red.png", more)
        client.post("/api/index", json={"paths": [str(indexed)]})
        until = time.monotonic() + 60
        while files(client) != 15 and time.monotonic() < until:
            time.sleep(0.1)
    with closing(sqlite3.connect(own / FILE_NAME)) as catalog:
        assert catalog.execute("SELECT count(*) FROM files").fetchone() == (15,)


def test_a_library_that_was_removed_is_gone_and_can_be_made_again(indexed: Path) -> None:
    for client in asked(Site(Library.open(indexed), ServerSettings())):
        assert files(client) == 14
        shutil.rmtree(beside(indexed))
        assert files(client) == 0
        with Library.open(beside(indexed)) as library:
            library.index(indexed, workers=0)
        assert files(client) == 14
