"""Every format on the page: Chromium shows what the server sends, large and zoomed."""

from pathlib import Path
from typing import Any

import pytest

from retrieval import Library
from retrieval.decoding.formats import FORMATS
from retrieval.locate import beside
from tests.retrieval.browser.conftest import Serve
from tests.retrieval.decoding.formats.samples import base, sample, written

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = api.expect

LARGE = (2400, 1800)  # more than the server sends as large

# The width of each picture as the browser has it; 0 if it cannot show it.
WIDTHS = """
addresses => Promise.all(addresses.map(address => new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve(image.naturalWidth);
    image.onerror = () => resolve(0);
    image.src = address;
})))
"""


@pytest.fixture
def served(tmp_path: Path, serve: Serve) -> tuple[str, dict[str, int]]:
    """The address of the page, and the numbers of its pictures by format."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for format in (each for each in FORMATS if not each.is_film):
        (photos / f"{format.name}{format.extensions[0]}").write_bytes(sample(format.name))
    (photos / "scan.tif").write_bytes(written(base().resize(LARGE), "TIFF"))
    with Library.open(beside(photos)) as library:
        library.index(photos, model="tiny", workers=0)
        rows = library.catalog.rows("SELECT path, image_id FROM files")
    numbers = {path.decode().partition(".")[0]: number for path, number in rows}
    return serve(beside(photos)).url, numbers


def test_every_format_is_shown(page: Any, served: tuple[str, dict[str, int]]) -> None:
    url, numbers = served
    page.goto(url)
    assert len(numbers) == sum(not each.is_film for each in FORMATS) + 1
    for part in ("thumbnail?large=1", "full"):
        widths = page.evaluate(WIDTHS, [f"/api/pictures/{n}/{part}" for n in numbers.values()])
        assert [name for name, width in zip(numbers, widths, strict=True) if not width] == []
    page.goto(f"{url}?picture={numbers['scan']}")
    shown = page.locator(".frame .full")
    expect(shown).to_have_js_property("naturalWidth", 2048)
    page.keyboard.press("z")
    expect(shown).to_have_js_property("naturalWidth", LARGE[0])
