"""Several models on the page: the choice of one, and the judgement of all."""

import re
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library
from retrieval.locate import beside
from tests.retrieval.browser.conftest import Serve
from tests.retrieval.browser.test_access import PHONE, check
from tests.retrieval.conftest import save_model

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


@pytest.fixture
def several(own: Path, tmp_path: Path, serve: Serve) -> str:
    """A server of the scenes, encoded by `tiny` and by a model that knows nothing."""
    save_model(tmp_path / "random", "random", 0)
    with Library.open(beside(own)) as library:
        library.index(own / "scenes", model=tmp_path / "random", also=True, workers=0)
    return serve(beside(own)).url


def names(page: Any) -> list[str]:
    links = page.locator(".grid li > a").all()
    return [str(link.get_attribute("aria-label")).partition(",")[0] for link in links[:4]]


def test_a_search_with_another_model_or_all(page: Any, several: str) -> None:
    page.goto(several)
    expect(page.locator("#count")).to_have_text("70 pictures, newest first")
    choice = page.get_by_label("Model", exact=True)
    expect(choice).to_be_hidden()
    page.get_by_label("Search your pictures").fill("a red car")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_have_text(re.compile("best first"))
    assert choice.locator("option").all_inner_texts() == ["tiny-2", "random", "All together"]
    by_first = names(page)
    assert all(name.startswith("car-") for name in by_first)
    choice.select_option("random")
    expect(page).to_have_url(re.compile("using=.*random"))
    expect(page.locator("#count")).to_have_text(re.compile("best first"))
    choice.select_option("All together")
    expect(page).to_have_url(re.compile("using=all"))
    page.reload()
    expect(choice).to_have_value("all")
    expect(page.locator(".grid li > a").first).to_be_visible()
    choice.select_option("tiny-2")
    expect(page).not_to_have_url(re.compile("using="))
    expect(page.locator(".grid li > a").first).to_have_attribute(
        "aria-label", re.compile(re.escape(by_first[0]))
    )


def test_the_library_lists_them(page: Any, several: str) -> None:
    page.goto(f"{several}?view=status")
    models = page.locator(".models li")
    expect(models).to_have_count(2)
    expect(models.first).to_contain_text("tiny-2")
    expect(models.first).to_contain_text("answers searches")
    check(page, "the library")
    page.get_by_role("link", name="Compare them on your pictures").click()
    expect(page.get_by_role("heading", name="Which model finds more?")).to_be_visible()


@pytest.mark.parametrize("look", [PHONE], indirect=True)
def test_judging(page: Any, several: str) -> None:
    page.goto(f"{several}?view=judge")
    page.get_by_label("Searches, one a line").wait_for()
    check(page, "the searches")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".judging [role=alert]")).to_have_text("Write at least one search.")
    page.get_by_label("Searches, one a line").fill("a red car\n\na house at night\n")
    page.get_by_role("button", name="Start").click()
    for number, kind in enumerate(("car", "house"), 1):
        expect(page.locator(".judging")).to_contain_text(f"Search {number} of 2")
        results = page.locator(".results li")
        expect(results.nth(4)).to_be_visible()
        first = page.locator(".results a").first
        expect(first).to_be_focused()
        first.click()  # a closer look, and back
        expect(page.locator("#viewer .title")).to_have_text(re.compile(r"\w"))
        page.keyboard.press("Escape")
        expect(first).to_be_focused()
        page.keyboard.press("y" if kind == "car" else "n")
        expect(page.locator(".results a").nth(1)).to_be_focused()
        expect(page.locator(".judging .count")).to_have_text(re.compile("^1 of "))
        results.nth(1).get_by_role("button", name="Yes").click()
        yes = results.nth(1).get_by_role("button", name="Yes")
        expect(yes).to_have_attribute("aria-pressed", "true")
        check(page, "the results")
        page.get_by_role("button", name="All others are wrong").click()
        next_ = "Next search" if number == 1 else "Show the verdict"
        page.get_by_role("button", name=next_).click()
    expect(page.locator(".verdict li")).to_have_count(2)
    check(page, "the verdict")
    expect(page.locator(".judging")).to_contain_text("By your answers to 2 searches")
    expect(page.locator(".judging")).to_contain_text("luck in")
    assert str(Path.home()) not in page.locator(".judging").inner_text()
    page.get_by_role("button", name="Judge other searches").click()
    expect(page.get_by_label("Searches, one a line")).to_be_visible()


def test_one_model_has_nothing_to_compare(page: Any, url: str) -> None:
    page.goto(f"{url}?view=judge")
    expect(page.locator(".judging")).to_contain_text("retrieve index --model NAME --also")
    page.goto(f"{url}?view=status")
    expect(page.locator(".figures")).to_contain_text("70")
    expect(page.locator(".models")).to_be_hidden()
