"""Asking: by words, by pictures, by filters; and what the address has to do with it."""

import base64
import re
from typing import Any

import pytest

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect


def ask(page: Any, query: str) -> None:
    page.get_by_label("Search your pictures").fill(query)
    page.keyboard.press("Enter")


def found(page: Any) -> Any:
    return page.locator(".grid li > a")


def names(page: Any, count: int) -> list[str]:
    return [found(page).nth(i).get_attribute("aria-label").split(",")[0] for i in range(count)]


def until(page: Any, condition: str) -> None:
    """Playwright's own way makes functions of strings, which the page's policy forbids."""
    page.evaluate(
        f"new Promise((done) => {{ const look = () => {condition} ? done() : setTimeout(look, 20);"
        " look(); })"
    )


def test_the_newest_pictures_come_first(page: Any, url: str) -> None:
    page.goto(url)
    expect(page.locator("#count")).to_have_text("70 pictures, newest first")
    expect(found(page).first).to_be_visible()
    expect(page.get_by_label("Sort")).to_have_value("date")


def test_words_find_pictures_before_their_thumbnails_are_there(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_label("Search your pictures").fill("a red car")  # no Enter: it asks by itself
    expect(page).to_have_url(re.compile(r"q=a\+red\+car"))
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^car-"))
    box = found(page).first.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(4 / 3, abs=0.02)
    expect(page.locator(".grid img").first).to_have_js_property("complete", True)
    expect(page.locator(".grid .strength")).to_have_count(0)  # this model claims no relevance
    assert page.evaluate("performance.getEntriesByName('paint').length > 0")


def test_a_model_that_was_not_measured_does_not_say_that_nothing_is_like_it(
    page: Any, url: str
) -> None:
    page.goto(f"{url}?q=a+zebra+in:plain")
    expect(found(page).first).to_be_visible()
    expect(page.get_by_text("looks like “a zebra”")).to_have_count(0)


def test_back_and_forward(page: Any, url: str) -> None:
    page.goto(url)
    ask(page, "a red car")
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^car-"))
    ask(page, "a house at night")
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^house-"))
    page.go_back()
    expect(page.get_by_label("Search your pictures")).to_have_value("a red car")
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^car-"))
    page.go_forward()
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^house-"))


def test_back_comes_where_one_was(page: Any, url: str) -> None:
    page.goto(url)
    expect(found(page).first).to_be_visible()
    page.evaluate("scrollTo(0, 600)")
    until(page, "history.state?.scroll === 600")
    ask(page, "a red car")
    expect(page.locator("#count")).to_contain_text("best first")
    page.go_back()
    expect(page.locator("#count")).to_contain_text("newest first")
    until(page, "scrollY === 600")


def test_more_come_while_one_scrolls_and_few_are_drawn(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+colour")
    expect(page.locator("#count")).to_have_text("More than 60 pictures, best first")
    found(page).first.focus()
    page.keyboard.press("End")
    expect(page.locator("#count")).to_have_text("70 pictures, best first")
    page.keyboard.press("End")
    expect(page.locator(".grid li[data-index='69'] a")).to_be_focused()
    assert page.locator(".grid li").count() < 100
    page.keyboard.press("Home")
    expect(page.locator(".grid li[data-index='0'] a")).to_be_focused()


def test_an_odd_shape_has_a_sane_place(page: Any, url: str) -> None:
    for name, most in (("wide.png", 4), ("tall.png", 2)):
        page.goto(f"{url}?q=navy+in:plain+min-size:100x100")
        link = page.locator(f".grid a[aria-label^='{name}']")
        box = link.bounding_box()
        assert max(box["width"] / box["height"], box["height"] / box["width"]) <= most
        expect(link.locator("img")).to_have_css("object-fit", "scale-down")


# -- pictures as queries -------------------------------------------------------------------------


def test_a_chosen_picture_is_the_query(page: Any, url: str, picture: bytes) -> None:
    page.goto(f"{url}?q=words+in:scenes")
    page.get_by_label("Search by example picture").set_input_files(
        {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": picture}
    )
    field = page.get_by_label("Search your pictures")
    expect(field).to_have_value(re.compile(r"^upload:\w+ in:scenes$"))
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^car-"))
    page.get_by_role("button", name="Remove your picture from the search").click()
    expect(field).to_have_value("in:scenes")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_dropped_or_pasted_picture_is_the_query(
    page: Any, url: str, picture: bytes, way: str
) -> None:
    page.goto(url)
    page.evaluate(
        """([way, content]) => {
            const held = new DataTransfer();
            const bytes = Uint8Array.from(atob(content), (each) => each.charCodeAt(0));
            held.items.add(new File([bytes], "x.jpg", { type: "image/jpeg" }));
            const more = { bubbles: true, dataTransfer: held, clipboardData: held };
            const Kind = way === "drop" ? DragEvent : ClipboardEvent;
            document.body.dispatchEvent(new Kind(way, more));
        }""",
        [way, base64.b64encode(picture).decode()],
    )
    expect(page.get_by_label("Search your pictures")).to_have_value(re.compile(r"^upload:\w+$"))
    expect(page.locator("#pieces img")).to_be_visible()
    expect(found(page).first).to_have_attribute("aria-label", re.compile("^car-"))


def test_a_file_that_is_no_picture_is_refused(page: Any, url: str, watch: Any) -> None:
    watch.expected.append("the server responded with a status of 4")
    page.goto(url)
    page.get_by_label("Search by example picture").set_input_files(
        {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"words"}
    )
    expect(page.locator("#toast")).not_to_be_empty()


def test_an_upload_that_the_server_no_longer_has(page: Any, url: str, watch: Any) -> None:
    watch.expected.append("the server responded with a status of 4")
    page.goto(f"{url}?q=upload:gone")
    expect(page.get_by_role("heading", name="Check your search")).to_be_visible()
    page.get_by_role("button", name="Remove your picture from the search").click()
    expect(found(page).first).to_be_visible()


def test_more_and_less_like_this(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+vehicle")
    field = page.get_by_label("Search your pictures")
    first = found(page).first
    first.evaluate("cell => cell.dataset.old = true")
    first.hover()
    page.get_by_role("button", name="More like this").first.click()
    expect(field).to_have_value(re.compile(r"^a vehicle \+ id:\d+$"))
    expect(first).not_to_have_attribute("data-old", "true")  # the new answer is there
    found(page).nth(1).focus()
    page.keyboard.press("-")
    expect(field).to_have_value(re.compile(r"^a vehicle \+ id:\d+ - id:\d+$"))
    expect(page.locator("#pieces img")).to_have_count(2)
    page.locator("#pieces .minus .out").click()
    expect(field).to_have_value(re.compile(r"^a vehicle \+ id:\d+$"))
    page.go_back()
    expect(page.locator("#pieces img")).to_have_count(2)


# -- filters -------------------------------------------------------------------------------------


def test_a_control_writes_what_the_line_says(page: Any, url: str) -> None:
    page.goto(f"{url}?q=a+car")
    field = page.get_by_label("Search your pictures")
    filters = page.get_by_role("group", name="Filters")
    filters.get_by_role("button", name="Camera").click()
    page.get_by_role("button", name=re.compile("Pixel 7")).click()
    expect(field).to_have_value(re.compile(r'^a car camera:"[^"]*Pixel 7"$'))
    expect(page.locator("#count")).to_have_text("4 pictures, best first")
    filters.get_by_role("button", name="Date", exact=True).click()
    page.get_by_role("button", name="2022").click()
    expect(field).to_have_value(re.compile("after:2022 before:2023$"))
    expect(page.locator("#count")).to_have_text("1 picture, best first")
    filters.get_by_role("button", name="Clear filters").click()
    expect(field).to_have_value("a car")


def test_what_is_typed_sets_the_control(page: Any, url: str) -> None:
    page.goto(url)
    ask(page, 'camera:"d90" min-size:100x100 after:2022-03')
    filters = page.get_by_role("group", name="Filters")
    expect(filters.get_by_role("button", name="Camera: d90")).to_be_visible()
    expect(filters.get_by_role("button", name="Date: Since 2022-03")).to_be_visible()
    expect(filters.get_by_role("button", name="Size: At least 100 × 100")).to_be_visible()
    expect(page.locator("#count")).to_have_text("3 pictures, newest first")
    filters.get_by_role("button", name="Date: Since 2022-03").click()
    expect(page.get_by_label("From")).to_have_value("2022-03-01")
    page.keyboard.press("Escape")
    filters.get_by_role("button", name="Any camera").click()
    expect(page.get_by_label("Search your pictures")).to_have_value(
        "min-size:100x100 after:2022-03"
    )


@pytest.mark.parametrize(
    ("control", "choice", "written"),
    [
        ("Format", "PNG", "format:png"),
        ("Orientation", "Portrait", "orientation:portrait"),
        ("Folder", "scenes", "in:"),
        ("Size", "HD, 1280", "min-size:1280x720"),
    ],
)
def test_each_control(page: Any, url: str, control: str, choice: str, written: str) -> None:
    page.goto(url)
    filters = page.get_by_role("group", name="Filters")
    filters.get_by_role("button", name=control).click()
    filters.get_by_role("button", name=re.compile(choice)).first.click()
    expect(page.get_by_label("Search your pictures")).to_have_value(re.compile(f"^{written}"))
    expect(page.locator(".control.set")).to_have_count(1)


def test_a_place_of_numbers(page: Any, url: str) -> None:
    page.goto(url)
    page.get_by_role("group", name="Filters").get_by_role("button", name="Place").click()
    page.get_by_label("Latitude").fill("48.14")
    page.get_by_label("Longitude").fill("11.58")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_label("Search your pictures")).to_have_value("near:48.14,11.58,5")
    expect(page.get_by_role("heading", name="No pictures match these filters")).to_be_visible()
    page.get_by_role("button", name="Remove filters").click()
    expect(found(page).first).to_be_visible()
