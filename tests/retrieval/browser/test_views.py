"""The large view, duplicates, the library; and what is shown when something is wrong."""

import re
import threading
from typing import Any

import pytest
from PIL import Image

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

TELLING = 0.6  # seconds: a run tells others how far it is twice a second
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def found(page: Any) -> Any:
    return page.locator(".grid li > a")


def title(page: Any) -> Any:
    return page.locator("#viewer .title")


def test_the_large_view(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+red+car")
    found(page).first.click()
    expect(title(page)).to_have_text(re.compile("^car-"))
    expect(page).to_have_url(re.compile("picture="))
    expect(page.locator(".frame .full")).to_have_js_property("naturalWidth", 240)
    facts = page.get_by_role("complementary", name="Details")
    expect(facts).to_contain_text("240 × 180")
    expect(facts).to_contain_text("Pixel 7")
    expect(facts.locator(".alike a")).not_to_have_count(0)
    facts.get_by_role("button", name="In this folder").click()
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("#count")).to_have_text("8 pictures, best first")
    page.go_back()
    expect(page.locator("#viewer")).to_be_visible()


def test_by_keys_alone(page: Any, url: str) -> None:
    page.goto(url)
    expect(found(page).first).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("a house at night")
    page.keyboard.press("Enter")
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^house-"))
    page.keyboard.press("ArrowDown")
    expect(found(page).first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".grid li[data-index='1'] a")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#viewer")).to_be_visible()
    second = title(page).inner_text()
    page.keyboard.press("ArrowRight")
    expect(title(page)).not_to_have_text(second)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator(".grid li[data-index='3'] a")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".grid li[data-index='3'] a")).to_be_focused()


def test_nearer(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+red+car")
    found(page).first.click()
    frame = page.locator(".frame")
    expect(frame).to_have_css("width", "240px")
    page.keyboard.press("z")
    expect(frame).to_have_css("width", "480px")
    frame.dblclick()
    expect(frame).to_have_css("width", "240px")


def test_a_shared_address_opens_the_picture(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+red+car")
    found(page).first.click()
    name = title(page).inner_text()
    page.goto(page.url)
    expect(title(page)).to_have_text(name)
    page.keyboard.press("s")
    expect(page.get_by_label("Search your pictures")).to_have_value(re.compile(r"^id:\d+$"))
    expect(page.locator("#viewer")).to_be_hidden()


def test_a_picture_that_the_library_does_not_know(page: Any, url: str, watch: Any) -> None:
    watch.expected.append("the server responded with a status of 404")
    page.goto(f"{url}?picture=99999")
    expect(page.locator(".facts .wrong")).not_to_be_empty()
    page.keyboard.press("Escape")
    expect(found(page).first).to_be_visible()


def test_duplicates(page: Any, url: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{url}?view=duplicates&q=in:scenes")
    view = page.locator("#duplicates")
    view.get_by_label("Similarity").select_option("1")
    expect(view.locator(".count")).to_have_text("1 group, 1 redundant file")
    expect(view.locator(".group li")).to_have_count(2)
    expect(view.locator(".group li").first).to_contain_text("Best")
    expect(view.locator(".group li").last).to_contain_text("Identical")
    view.get_by_role("button", name="Copy duplicate’s path").click()
    expect(page.locator("#toast")).to_have_text("1 path copied")
    assert page.evaluate("navigator.clipboard.readText()").endswith(".jpg")
    view.locator(".group a").first.click()
    expect(title(page)).to_have_text(re.compile("^car-0"))
    page.keyboard.press("Escape")
    expect(view.locator(".group a").first).to_be_focused()


def test_the_library_and_a_run_elsewhere(served: Any, page: Any, own: Any) -> None:
    """The run waits for us, so that it is seen under way; then new pictures are offered."""
    page.goto(f"{served.url}?view=status")
    expect(page.locator(".figures")).to_contain_text("70")
    expect(page.locator(".failures li")).to_contain_text("notes.jpg")
    page.goto(served.url)
    expect(page.locator("#count")).to_have_text("70 pictures, newest first")
    for number in range(6):
        Image.new("RGB", (90, 60), (250, 40 * number, 7)).save(own / f"new-{number}.png")
    seen = threading.Event()
    waits = iter([TELLING])

    def wait(_: Any) -> None:
        seen.wait(next(waits, 30))

    run = threading.Thread(
        target=served.library.index, args=(own,), kwargs={"progress": wait, "workers": 0}
    )
    run.start()
    try:
        page.get_by_role("link", name="Library").click()
        expect(page.locator(".run p")).to_contain_text("Indexing")
        expect(page.locator(".run progress")).to_be_visible()
        page.get_by_role("link", name="Pictures", exact=True).click()
        expect(page.locator("#count")).to_have_text("70 pictures, newest first")
    finally:
        seen.set()
        run.join()
    page.get_by_role("button", name="Show new pictures").click()
    expect(page.locator("#count")).to_have_text("76 pictures, newest first")
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^new-"))


def test_an_empty_library_is_filled_from_the_page(empty: Any, page: Any, own: Any) -> None:
    page.goto(empty.url)
    expect(page.get_by_role("heading", name="No pictures yet")).to_be_visible()
    page.get_by_label("Folder to index").fill(str(own / "scenes"))
    page.get_by_role("button", name="Index").click()
    expect(page).to_have_url(re.compile("view=status"))
    figure = page.locator(".figures div").filter(has_text="pictures")
    expect(figure).to_have_text(re.compile(r"^8\s*pictures$"), timeout=60_000)
    page.get_by_role("link", name="Pictures", exact=True).click()
    expect(found(page)).to_have_count(8, timeout=60_000)


# -- when something is wrong ---------------------------------------------------------------------


def test_a_query_that_cannot_be_read(page: Any, url: str, watch: Any) -> None:
    watch.expected.append("the server responded with a status of 400")
    page.goto(url)
    field = page.get_by_label("Search your pictures")
    field.fill("a car after:20xx")
    page.keyboard.press("Enter")
    expect(page.locator("mark")).to_have_text("after:20xx")
    page.get_by_role("button", name="Edit search").click()
    expect(field).to_be_focused()
    field.fill("a car after:2021")
    expect(page.locator("#count")).to_have_text(re.compile(r"^\d+ pictures, best first"))
    field.fill('a car "af')  # half typed: what was found stays
    expect(page.locator(".hint")).to_contain_text("The quotation mark is not closed")
    expect(found(page).first).to_be_visible()


def test_an_error_of_the_server(page: Any, url: str, watch: Any) -> None:
    watch.expected.append("the server responded with a status of 503")
    broken = {"error": "the index is damaged; run `retrieve check`", "position": None}
    page.route("**/api/search*", lambda route: route.fulfill(status=503, json=broken))
    page.goto(url)
    expect(page.locator(".notice")).to_contain_text("run `retrieve check`")
    page.unroute("**/api/search*")
    page.get_by_role("button", name="Try again").click()
    expect(found(page).first).to_be_visible()


def test_a_server_that_is_gone_and_comes_back(served: Any, page: Any, watch: Any) -> None:
    watch.expected += ["ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE"]
    page.goto(served.url)
    expect(found(page).first).to_be_visible()
    served.stop()
    page.get_by_label("Search your pictures").fill("a red car")
    expect(page.locator("#banner")).to_contain_text("Can’t reach the server")
    served.start()
    expect(page.locator("#banner")).to_be_hidden()
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^car-"))


# -- phones and themes ---------------------------------------------------------------------------


@pytest.mark.parametrize("look", [PHONE], indirect=True)
def test_on_a_phone(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+red+car")
    expect(found(page).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    found(page).first.tap()
    name = title(page).inner_text()
    swipe(page, -150)
    expect(title(page)).not_to_have_text(name)
    swipe(page, 150)
    expect(title(page)).to_have_text(name)


def swipe(page: Any, by: int) -> None:
    touch = page.context.new_cdp_session(page)
    steps = [("touchStart", 0), *(("touchMove", by * step / 5) for step in range(1, 6))]
    for kind, x in steps:
        points = [{"x": 180 + x, "y": 350}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_the_theme_is_chosen_and_kept(page: Any, url: str) -> None:
    page.goto(url)
    expect(page.locator("html")).to_have_css("background-color", "rgb(255, 255, 255)")
    page.get_by_role("button", name="Switch between dark and light").click()
    expect(page.locator("html")).to_have_css("background-color", "rgb(18, 19, 22)")
    page.reload()
    expect(page.locator("html")).to_have_css("background-color", "rgb(18, 19, 22)")
