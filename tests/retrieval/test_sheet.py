"""The contact sheet: a row a query, whatever the pictures are like."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image as Pillow

from retrieval.records import Image, Match
from retrieval.sheet import GAP, HEIGHT, LABEL, PAPER, WIDTH, draw_sheet


def match_of(path: Path, size: tuple[int, int], colour: str) -> Match:
    Pillow.new("RGB", size, colour).save(path)
    return Match(path, 0.25, Image(1, *size, "PNG", None, (path,)))


def test_a_row_shows_its_matches_from_left_to_right(tmp_path: Path) -> None:
    red = match_of(tmp_path / "red.png", (400, 300), "red")
    blue = match_of(tmp_path / "blue.png", (400, 300), "blue")
    sheet = draw_sheet([("colours", [red, blue]), ("again", [blue])])
    middle = GAP + LABEL + HEIGHT // 2
    assert sheet.width == GAP + 2 * (WIDTH + GAP)
    assert sheet.getpixel((GAP + WIDTH // 2, middle)) == (255, 0, 0)
    assert sheet.getpixel((2 * GAP + WIDTH + WIDTH // 2, middle)) == (0, 0, 255)


def test_very_wide_and_very_tall_pictures_keep_to_their_place(tmp_path: Path) -> None:
    wide = match_of(tmp_path / "wide.png", (3000, 3), "red")
    tall = match_of(tmp_path / "tall.png", (3, 3000), "red")
    sheet = draw_sheet([("odd shapes", [wide, tall])])
    assert sheet.getpixel((GAP // 2, GAP + LABEL + HEIGHT // 2)) == PAPER


def test_a_row_may_be_empty_and_a_picture_gone(tmp_path: Path) -> None:
    gone = match_of(tmp_path / "gone\udcff\n.png", (40, 30), "red")
    gone.path.unlink()
    assert draw_sheet([("nothing", []), ("gone", [gone])]).width == GAP + WIDTH + GAP
    assert draw_sheet([]).height > 0


def test_a_picture_of_a_phone_is_shown(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    path = tmp_path / "phone.heic"
    heif.from_pillow(Pillow.new("RGB", (400, 300), (255, 0, 0))).save(path, quality=100)
    program = f"""if True:
        from pathlib import Path
        from retrieval.records import Image, Match
        from retrieval.sheet import draw_sheet
        path = Path({os.fspath(path)!r})
        image = Image(1, 400, 300, "HEIF", None, (path,))
        sheet = draw_sheet([("phone", [Match(path, 0.25, image)])])
        print(*sheet.getpixel({(GAP + WIDTH // 2, GAP + LABEL + HEIGHT // 2)}))
    """  # a process of its own, in which nobody has told Pillow of HEIC yet
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    red, green, blue = map(int, said.split())
    assert red > 240 and green < 20 and blue < 20
