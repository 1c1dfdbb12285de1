"""Videos on the page: played at the moment that was found, or shown where they can't be played."""

import os
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library
from retrieval.locate import beside
from tests.retrieval.browser.conftest import Serve, Watch
from tests.retrieval.decoding.films import film

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


@pytest.fixture
def url(tmp_path: Path, serve: Serve) -> str:
    """Of a library of two videos: one that Chromium plays, and one that no browser does."""
    film(tmp_path / "films" / "walk.webm", [1, 2, 3], size=(320, 180))
    old = film(tmp_path / "films" / "old.avi", [4, 5], size=(320, 180))
    os.utime(old, (1_000_000_000, 1_000_000_000))
    with Library.open(beside(tmp_path / "films")) as library:
        library.index(tmp_path / "films", model="tiny", workers=0)
        number = library.similar(tmp_path / "films" / "old.avi")[0].image.id
    return f"{serve(beside(tmp_path / 'films')).url}?picture={number}"


def test_a_video_is_played_at_its_moment(page: Any, url: str) -> None:
    page.goto(url)
    video = page.locator("#viewer video")
    expect(video).to_be_visible()
    expect(video).to_have_js_property("readyState", 4)
    assert video.evaluate("video => video.duration") == pytest.approx(6, abs=0.2)
    facts = page.get_by_role("complementary", name="Details")
    expect(facts).to_contain_text("Duration")
    expect(facts).to_contain_text("0:06")
    facts.get_by_role("button", name="0:04").click()
    expect(video).to_have_js_property("currentTime", 4)
    page.keyboard.press("Escape")
    expect(page.locator(".grid li .time").first).to_have_text("0:06")
    assert (
        page.locator(".grid li > a")
        .first.get_attribute("aria-label")
        .startswith("walk.webm, video")
    )


def test_what_no_browser_plays_is_shown_with_a_line(page: Any, url: str, watch: Watch) -> None:
    page.goto(url.partition("?")[0])
    page.locator('.grid li > a[aria-label^="old.avi"]').click()
    expect(page.locator("#viewer .unplayed")).to_contain_text("can’t play this video")
    expect(page.locator("#viewer .full")).to_have_js_property("naturalWidth", 320)
