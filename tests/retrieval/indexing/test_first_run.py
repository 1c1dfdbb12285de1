"""The first run, as long as nothing is committed: what an interrupt keeps, what a search says."""

import shutil
import threading
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.catalog.lock import write_lock
from retrieval.catalog.reading import Catalog
from retrieval.errors import LibraryEmpty
from retrieval.indexing import run as index_run
from retrieval.indexing.run import index
from retrieval.output.report import of_run
from retrieval.records import Progress, Summary
from tests.retrieval.cli.test_cli import refused
from tests.retrieval.conftest import Models
from tests.retrieval.small import SmallEncoder, as_counts, paint, paint_many, run_index, small_model


def interrupted_while_loading(catalog: Catalog, photos: Path, read: int) -> Summary:
    """A run whose encoder is not loaded yet when so many files, which are all, have been read."""
    loaded = threading.Event()

    def load() -> SmallEncoder:
        loaded.wait(60)
        raise RuntimeError("nobody needs it any more")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_run, "REPORT_SECONDS", -1.0)  # after each file
        run = index(catalog, [photos], small_model(), load, workers=0)
        try:
            for _ in range(read):
                next(run)
            summary = run.throw(KeyboardInterrupt())
        finally:
            loaded.set()
    assert isinstance(summary, Summary) and summary.interrupted
    return summary


def test_an_interrupt_before_anything_is_encoded_keeps_nothing_and_says_so(
    catalog: Catalog, base: Path
) -> None:
    paths = paint_many(base / "photos", 6)
    for path in paths[:3]:  # of one size in bytes: they are hashed first
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    summary = interrupted_while_loading(catalog, base / "photos", 9)
    assert as_counts(summary) == {} and summary.dropped == 9
    assert catalog.counts().files == 0
    said = of_run(summary)
    assert "new" not in said and "copied" not in said and "not kept: 9 files read" in said
    assert "finished work is kept" not in said and "starts again" in said
    assert as_counts(run_index(catalog, [base / "photos"]))["new"] == 6


def test_an_interrupt_counts_what_it_keeps(catalog: Catalog, base: Path) -> None:
    known = paint_many(base / "photos", 4)
    (base / "photos/bad.png").write_bytes(b"")
    run_index(catalog, [base / "photos"])
    paint(known[0], 100)
    (base / "photos/bad.png").write_bytes(paint(base / "good.png", 101).read_bytes())
    shutil.copy(known[1], base / "photos/a copy.png")
    paint_many(base / "photos/more", 3, first=50)
    summary = interrupted_while_loading(catalog, base / "photos", 6)
    counts = as_counts(summary)
    assert counts.pop("copied") == 1 and counts == {"unchanged": 3}
    assert summary.dropped == 5 and catalog.counts().files == 6
    assert "finished work is kept" in of_run(summary)


def test_a_search_during_the_first_run_says_that_it_goes_on(home: Path, models: Models) -> None:
    paint_many(home / "p", 3)
    with Library.open("lib", models.small) as library:
        run = index(
            Catalog.open(library.folder, create=True), [home / "p"], small_model(), SmallEncoder,
            workers=0,
        )  # fmt: skip
        next(run)
        with pytest.raises(LibraryEmpty, match="indexing is under way; try again"):
            library.search("red")
        for command in (["search", "red"], ["duplicates"], ["similar", "p/000.png"]):
            assert "indexing is under way" in refused(*command, "--library", "lib")
        run.close()
    with Library.open("none") as library, closing(Catalog.open(library.folder, create=True)):
        with pytest.raises(LibraryEmpty, match="holds no pictures; run `retrieve index FOLDER`"):
            library.search("red")
        with write_lock(library.folder) as tell:
            with pytest.raises(LibraryEmpty, match="run `retrieve index"):
                library.search("red")  # a writer that is no index run
            tell(Progress(1, 3, 0))
            with pytest.raises(LibraryEmpty, match=r"under way \(1 of 3 files so far\)"):
                library.search("red")


def test_the_page_is_told_of_the_first_run(home: Path) -> None:
    from retrieval.web.state import Site
    from tests.retrieval.web.conftest import asked

    library = Library.open("lib")
    Catalog.open(library.folder, create=True).close()
    client: TestClient
    for client in asked(Site(library)):
        with write_lock(library.folder) as tell:
            tell(Progress(0, 0, 0))
            assert client.get("/api/search", params={"q": "red"}).json()["empty"]
            assert client.get("/api/status").json()["indexing"]["total"] == 0
