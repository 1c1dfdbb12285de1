"""Contact sheets: a row a query, its best matches side by side, the score under each."""

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from retrieval.decode import formats
from retrieval.records import Match

WIDTH, HEIGHT = 220, 165  # of a thumbnail's place, pixels
GAP = 14
LABEL, SCORE = 30, 20  # heights of the lines of text
PAPER, INK, FAINT = (250, 250, 248), (32, 32, 36), (128, 128, 134)


def draw_sheet(rows: Sequence[tuple[str, Sequence[Match]]]) -> Image.Image:
    """rows: what was asked, and the matches. Returns an RGB picture as wide as the longest row."""
    columns = max((len(matches) for _, matches in rows), default=0) or 1
    row_height = LABEL + HEIGHT + SCORE + GAP
    size = GAP + columns * (WIDTH + GAP), GAP + max(len(rows), 1) * row_height
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (asked, matches) in enumerate(rows):
        top = GAP + row * row_height
        draw.text((GAP, top), asked, INK, ImageFont.load_default(18))
        if not matches:
            draw.text((GAP, top + LABEL), "nothing found", FAINT, ImageFont.load_default(14))
        for column, match in enumerate(matches):
            _draw_match(sheet, draw, match, GAP + column * (WIDTH + GAP), top + LABEL)
    return sheet


def _draw_match(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, match: Match, left: int, top: int
) -> None:
    picture = _thumbnail(match.path)
    sheet.paste(picture, (left + (WIDTH - picture.width) // 2, top + HEIGHT - picture.height))
    name = match.path.name.encode("utf-8", "replace").decode()
    below = f"{match.score:.3f}  {name if len(name) <= 24 else name[:23] + '…'}"
    draw.text((left, top + HEIGHT + 3), below, FAINT, ImageFont.load_default(12))


def _thumbnail(path: Path) -> Image.Image:
    """The picture, upright, no larger than its place; an empty place if it has gone meanwhile."""
    try:
        with Image.open(os.fspath(path), formats=formats()) as opened:
            opened.draft("RGB", (2 * WIDTH, 2 * HEIGHT))
            upright = ImageOps.exif_transpose(opened).convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return Image.new("RGB", (WIDTH, HEIGHT), (226, 226, 222))
    upright.thumbnail((WIDTH, HEIGHT))
    return upright
