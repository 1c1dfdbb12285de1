"""Contact sheets: search results in rows of equal width with captions, as an image or HTML page."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from retrieval.errors import RetrieveError
from retrieval.output.captions import Section, Shown, thumbnail
from retrieval.output.fonts import write
from retrieval.output.sheet_html import page
from retrieval.paths import replacing

HEIGHT = 165  # pixels of a row, before it is fitted to the width
ACROSS = 1390  # pixels of a row; six 4:3 pictures fill it
GAP = 14
TITLE, LINE = 34, 16  # heights of the lines of text
BENEATH = 2 * LINE + GAP
FLATTEST, STEEPEST = 4.0, 0.4  # width / height of a place; other shapes are shrunk to fit
MAX_HEIGHT = 65_500  # pixels of a sheet; JPEG's limit, and 0.3 GB
PAPER, INK, FAINT, EMPTY = (250, 250, 248), (32, 32, 36), (128, 128, 134), (226, 226, 222)


def save(sections: Sequence[Section], file: Path) -> None:
    """Write a sheet in the format of the file's extension (see FORMS), completely or not at all.

    Raises RetrieveError if it would be too high, and OSError.
    """
    try:
        with replacing(file) as part:
            FORMS[file.suffix.lower()](sections, part)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(file)) from error


def _save_drawing(format: str) -> Callable[[Sequence[Section], Path], None]:
    return lambda sections, file: draw_sheet(sections).save(file, format, quality=90)


def _save_page(sections: Sequence[Section], file: Path) -> None:
    with file.open("w", encoding="utf-8") as written:
        written.writelines(page(sections))


FORMS: dict[str, Callable[[Sequence[Section], Path], None]] = {
    ".png": _save_drawing("PNG"),
    ".jpg": _save_drawing("JPEG"),
    ".jpeg": _save_drawing("JPEG"),
    ".html": _save_page,
}


@dataclass(frozen=True)
class Place:
    """A picture's part of a row; empty without a picture."""

    shown: Shown
    picture: Image.Image | None
    shape: float  # width / height


@dataclass(frozen=True)
class Row:
    """Places of equal height."""

    places: Sequence[Place]
    height: int


def draw_sheet(sections: Sequence[Section]) -> Image.Image:
    """Draw a sheet of fixed width in RGB. Raises RetrieveError if it would be too high."""
    laid = [(section.title, list(_rows(section.shown))) for section in sections]
    height = GAP + sum(TITLE + sum(row.height + BENEATH for row in rows) for _, rows in laid)
    if height > MAX_HEIGHT:
        raise RetrieveError(
            f"too many pictures for an image: it would be {height:,} pixels high; "
            "ask for fewer, or for a page: --sheet FILE.html"
        )
    sheet = Image.new("RGB", (ACROSS + 2 * GAP, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = GAP
    for title, rows in laid:
        said = title if rows else f"{title}: nothing found"
        write(draw, (GAP, top), said, width=ACROSS, size=18, ink=INK)
        top += TITLE
        for row in rows:
            _draw_row(sheet, draw, row, top)
            top += row.height + BENEATH
    return sheet


def _rows(shown: Sequence[Shown]) -> Iterator[Row]:
    """Yield rows of full width; the last may be shorter."""
    row: list[Place] = []
    for one in shown:
        picture = thumbnail(one, int(FLATTEST * HEIGHT), HEIGHT)
        shape = picture.width / picture.height if picture else 4 / 3
        row.append(Place(one, picture, min(max(shape, STEEPEST), FLATTEST)))
        shapes = sum(place.shape for place in row)
        height = int((ACROSS - GAP * (len(row) - 1)) / shapes)
        if height <= HEIGHT:
            yield Row(row, height)
            row = []
    if row:
        yield Row(row, HEIGHT)


def _draw_row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    left, bottom = GAP, top + row.height
    for place in row.places:
        width = int(place.shape * row.height)
        if place.picture:
            picture = place.picture.copy()
            picture.thumbnail((width, row.height))
            sheet.paste(picture, (left + (width - picture.width) // 2, bottom - picture.height))
        else:
            draw.rectangle((left, top, left + width - 1, bottom - 1), EMPTY)
        for line, said in enumerate((place.shown.caption, place.shown.name)):
            at = left, bottom + 2 + line * LINE
            write(draw, at, said, width=width, size=12, ink=FAINT)
        left += width + GAP
