"""Each view, light, dark and on a phone, has no serious violation that axe-core knows."""

from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

LIGHT, DARK = {"color_scheme": "light"}, {"color_scheme": "dark"}
PHONE = {"viewport": {"width": 360, "height": 740}}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OPTIONS = {"runOnly": RULES, "resultTypes": ["violations"]}  # the rest of a report is long
LOOKS = ["light", "dark", "phone"]
VIEWS = {  # addresses, and what is there when they are drawn
    "?q=a+red+car+-+id:1+camera:pixel": ".grid li img",
    "?q=a+zebra+in:plain&picture=12": ".frame .full:not(.coming)",
    "?view=duplicates": ".group img",
    "?view=status": ".figures dd",
    "?q=in:nowhere-at-all": ".notice",
    "?q=after:x": ".notice",
}


@pytest.mark.parametrize("look", [LIGHT, DARK, PHONE], indirect=True, ids=LOOKS)
def test_every_view(page: Any, url: str, watch: Any) -> None:
    watch.expected.append("the server responded with a status of 400")
    for address, drawn in VIEWS.items():
        page.goto(url + address)
        page.locator(drawn).first.wait_for()
        check(page, address)
    page.goto(url)
    page.get_by_role("button", name="Date").click()
    page.get_by_label("From").wait_for()
    check(page, "the date's panel")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keyboard shortcuts").wait_for()
    check(page, "the keys")


@pytest.mark.parametrize("look", [LIGHT, DARK], indirect=True, ids=LOOKS[:2])
def test_an_empty_library(empty: Any, page: Any) -> None:
    page.goto(empty.url)
    page.get_by_label("Folder to index").wait_for()
    check(page, "an empty library")


def check(page: Any, what: str) -> None:
    found = axe.Axe().run(page, options=OPTIONS).response["violations"]
    wrong = [
        (what, each["id"], node["html"], node["failureSummary"])
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
    assert wrong == []
