"""Contact sheets, drawn and as a page: rows that fit, whatever the pictures are like."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from PIL import Image, ImageDraw

from retrieval.cli import picture_options
from retrieval.errors import RetrieveError
from retrieval.output import fonts, sheet
from retrieval.output.captions import Section, Shown
from retrieval.output.sheet import ACROSS, BENEATH, GAP, HEIGHT, PAPER, TITLE, draw_sheet
from retrieval.output.sheet_html import page
from tests.retrieval.cli.test_cli import ok, refused, retrieve
from tests.retrieval.small import DATA

pytestmark = pytest.mark.usefixtures("home")

ODD = "odd \udcff <b>\n&é漢.png"


def shown(path: Path, size: tuple[int, int] = (400, 300), colour: str = "red") -> Shown:
    Image.new("RGB", size, colour).save(path)
    return Shown(path, "0.250  fair")


def colours_along(drawn: Image.Image, y: int) -> list[tuple[int, ...]]:
    """What is passed from left to right, the paper left out."""
    passed = [tuple(pixel) for pixel in np.asarray(drawn)[y].tolist()]
    kept = [one for one, next in zip(passed, [*passed[1:], PAPER], strict=True) if one != next]
    return [colour for colour in kept if colour != PAPER]


# -- drawn ---------------------------------------------------------------------------------------


def test_a_row_shows_its_pictures_from_left_to_right(tmp_path: Path) -> None:
    red, blue = shown(tmp_path / "red.png"), shown(tmp_path / "blue.png", colour="blue")
    drawn = draw_sheet([Section("colours", [red, blue]), Section("again", [blue])])
    middle, lower = GAP + TITLE + HEIGHT // 2, 2 * TITLE + HEIGHT + BENEATH
    assert drawn.width == ACROSS + 2 * GAP
    assert colours_along(drawn, middle) == [(255, 0, 0), (0, 0, 255)]
    assert colours_along(drawn, lower + HEIGHT // 2) == [(0, 0, 255)]


def test_many_pictures_make_full_rows_of_one_width(tmp_path: Path) -> None:
    sizes = [(400, 300), (300, 400), (500, 200), (300, 300)]
    many = [shown(tmp_path / f"{n}.png", sizes[n % 4], "#804020") for n in range(100)]
    drawn = draw_sheet([Section("all", many)])
    ink = (np.asarray(drawn) == (128, 64, 32)).all(axis=2)
    tops = [y for y in range(1, len(ink)) if ink[y].sum() > 300 and not ink[y - 1].any()]
    assert len(tops) > 10
    for top in tops[:-1]:
        assert np.flatnonzero(ink[top + 20])[-1] > ACROSS - 20


def test_very_wide_and_very_tall_pictures_keep_to_their_place(tmp_path: Path) -> None:
    wide = shown(tmp_path / "wide.png", (3000, 3))
    tall = shown(tmp_path / "tall.png", (3, 3000))
    drawn = draw_sheet([Section("odd shapes", [wide, tall] * 20)])
    assert drawn.getpixel((GAP // 2, GAP + TITLE + HEIGHT // 2)) == PAPER
    assert drawn.width == ACROSS + 2 * GAP


def test_a_sheet_may_be_empty_and_a_picture_gone(tmp_path: Path) -> None:
    gone = Shown(tmp_path / ODD, "0.1")
    drawn = draw_sheet([Section("nothing", []), Section("gone", [gone])])
    assert sheet.EMPTY in colours_along(drawn, GAP + 2 * TITLE + HEIGHT // 2)
    assert draw_sheet([]).height > 0


def test_too_many_for_a_drawing_are_told_of(tmp_path: Path) -> None:
    one = shown(tmp_path / "one.png")
    with pytest.raises(RetrieveError, match=".html"):
        draw_sheet([Section("copies", [one])] * 400)


def test_a_picture_of_a_phone_is_shown(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "phone.heic"
    heif.from_pillow(Image.new("RGB", (400, 300), (255, 0, 0))).save(path, quality=100)
    program = f"""if True:
        from pathlib import Path
        from retrieval.output.captions import Shown, thumbnail
        print(*thumbnail(Shown(Path({os.fspath(path)!r}), ''), 40, 30).getpixel((20, 15)))
    """  # a process of its own, in which nobody has told Pillow of HEIC yet
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    red, green, blue = map(int, said.split())
    assert red > 240 and green < 20 and blue < 20


def test_text_is_cut_to_its_width_and_letters_have_a_font() -> None:
    picture = Image.new("RGB", (300, 40), "white")
    text = "a name that is much too long, with é and 漢字 in it"
    fonts.write(ImageDraw.Draw(picture), (10, 5), text, width=120, size=14, ink=(0, 0, 0))
    inked = np.flatnonzero((np.asarray(picture) < 128).any(axis=(0, 2)))
    assert inked[0] >= 10 and 80 < inked[-1] <= 130
    assert fonts.length("", 14) == 0 < fonts.length("é", 14) < fonts.length("éa", 14)


# -- as a page -----------------------------------------------------------------------------------


def test_a_page_holds_its_pictures_and_leads_to_their_files(tmp_path: Path) -> None:
    red, gone = shown(tmp_path / ODD, (800, 600)), Shown(tmp_path / "gone.png", "0.1")
    text = "".join(page([Section("a <dog> & “cat”", [red, gone])]))
    assert "<h1>a &lt;dog&gt; &amp; “cat”</h1>" in text and "<title>a &lt;dog&gt;" in text
    assert "<b>" not in text and "0.250  fair" in text
    text.encode("utf-8")
    [data] = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (480, 360)
        red_, green, blue = picture.convert("RGB").getpixel((9, 9))  # type: ignore[misc]
        assert red_ > 240 and green < 20 and blue < 20
    links = [unquote_to_bytes(uri) for uri in re.findall(r'href="file://([^"]+)"', text)]
    assert links == [os.fsencode(red.path), os.fsencode(gone.path)]
    assert "http" not in text and "<script" not in text


def test_an_empty_page_says_so() -> None:
    assert "nothing found" in "".join(page([Section("x", [])]))


@pytest.mark.skipif(not DATA.exists(), reason="the reference data is not here")
def test_a_page_shows_photos_upright() -> None:
    turned = [Shown(DATA / "orientation" / f"Landscape_{n}.jpg", "") for n in range(9)]
    text = "".join(page([Section("x", turned)]))
    assert text.count("width=540 height=360") == 9


# -- the command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg", "SHEET.JPEG", "a sheet.html"])
def test_a_search_writes_a_sheet_beside_its_answer(indexed: Path, home: Path, name: str) -> None:
    (home / name).write_text("an older one")
    result = retrieve("--library", indexed, "search", "red", "car", "--sheet", name)
    assert result.exit_code == 0 and name in result.stderr
    assert result.stdout == ok("--library", indexed, "search", "red", "car")
    data = (home / name).read_bytes()
    if name.endswith("html"):
        assert b"<h1>red car</h1>" in data and data.count(b"<figure") == 10
    else:
        with Image.open(io.BytesIO(data)) as drawn:
            assert drawn.format == ("PNG" if name.endswith("png") else "JPEG")
            assert drawn.width == ACROSS + 2 * GAP
    assert not list(home.glob(".*.part"))


def test_similar_and_duplicates_write_sheets_too(indexed: Path, home: Path) -> None:
    library = ("--library", indexed)
    ok("similar", indexed / "large/red.png", "--sheet", "like.html", "-n", 3, *library)
    text = (home / "like.html").read_text()
    assert "<h1>similar to red.png</h1>" in text and text.count("<figure") == 3
    listed = ok("duplicates", "--sheet", "twice.html", *library)
    text = (home / "twice.html").read_text()
    assert text.count("<figure") == listed.count("\t") // 2 > 2
    assert "keep" in text and f"<h1>{indexed}" in text
    assert ok("duplicates", "--json", "--sheet", "twice.png", *library).startswith("[")


def test_every_ending_that_is_taken_can_be_written() -> None:
    assert set(picture_options.ENDINGS) == set(sheet.FORMS)


def test_mistakes_are_told_of_before_the_search(indexed: Path, home: Path) -> None:
    for name in ("sheet.gif", "sheet", "sheet.png.txt"):
        line = refused("search", "x", "--library", "nowhere", "--sheet", name, code=2)
        assert ".png" in line and ".html" in line
    (home / "folder.png").mkdir()
    assert "folder.png" in refused("search", "x", "--sheet", "folder.png", code=2)
    result = retrieve("--library", indexed, "search", "x", "--sheet", "no/such/sheet.png")
    assert result.exit_code == 1
    assert result.stderr.endswith("error: no/such/sheet.png: No such file or directory\n")
