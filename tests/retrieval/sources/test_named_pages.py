"""Files that are named on a web server whose folders have no pages."""

import os
import shutil

import pytest

from retrieval.catalog.reading import Catalog
from tests.retrieval.small import contents, paint
from tests.retrieval.sources.test_index_pages import Photos, Server, photos  # noqa: F401
from tests.retrieval.sources.test_tar_shard import pack


@pytest.mark.parametrize("has_head", [True, False])
def test_what_is_named_needs_no_page_of_its_folder(
    catalog: Catalog,
    photos: Photos,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    has_head: bool,
) -> None:
    """As most servers have none; and some answer no HEAD, so that they state no size."""
    monkeypatch.setattr(Server, "has_pages", False)
    monkeypatch.setattr(Server, "has_head", has_head)
    data = {"7.png": paint(photos.folder / "7.png", 7).read_bytes()}
    pack(photos.folder / "shards/0.tar", data)
    named = ("/shards/0.tar", "/0.png")
    assert photos.index(catalog, *named) == {"new": 2, "encoded": 2}
    assert photos.index(catalog) == {"unchanged": 2} and not photos.summary.problems
    paint(photos.folder / "0.png", 8, size=(50, 30))
    pack(photos.folder / "shards/0.tar", {**data, "9.png": (photos.folder / "0.png").read_bytes()})
    os.utime(photos.folder / "shards/0.tar", (1, 1))  # its size is as it was, its second may be
    counts = photos.index(catalog)
    assert counts["changed"] and not photos.summary.problems and len(contents(catalog)) == 3
    shutil.rmtree(photos.folder)
    if has_head:  # all of it is gone, so it is kept; else only reading shows that it is
        assert photos.index(catalog) == {} and len(contents(catalog)) == 3
        assert "files are kept" in photos.summary.problems[0]
