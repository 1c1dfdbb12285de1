"""Text in a drawing, in any script for which this system has a font.

The font that comes with Pillow covers little more than English. Nothing is downloaded.
"""

from collections.abc import Iterator
from functools import cache
from itertools import groupby

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Font files that Pillow finds in the system's font folders: first fonts of Linux, Windows and macOS
# with Latin, Greek and Cyrillic letters, then those with Chinese, Japanese and Korean characters.
NAMES = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "Arial.ttf", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "DroidSansFallbackFull.ttf", "wqy-zenhei.ttc", "msyh.ttc"),
    *("YuGothR.ttc", "malgun.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
)
MISSING = "\uffff"  # not a character: drawn the way a font draws whatever it lacks


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    width: float,
    size: int,
    ink: tuple[int, int, int],
) -> None:
    """Draw one line with its top left at `at`, shortened to fit into `width` pixels."""
    kept = text
    while kept and length(text, size) > width:
        kept = kept[:-1]
        text = kept + "…"
    left, top = at
    for font, run in _runs(text, size):
        draw.text((left, top + size), run, ink, font, anchor="ls")  # on one line, in any font
        left += font.getlength(run)


def length(text: str, size: int) -> float:
    """Return the width of a text in pixels."""
    return sum(font.getlength(run) for font, run in _runs(text, size))


def _runs(text: str, size: int) -> Iterator[tuple[Font, str]]:
    for font, letters in groupby(text, lambda letter: _font_for(letter, size)):
        yield font, "".join(letters)


@cache
def _font_for(letter: str, size: int) -> Font:
    """Return the first font that has the letter, or simply the first."""
    fonts = _at_hand(size)
    return next((font for font in fonts if _has(font, letter)), fonts[0])


def _has(font: Font, letter: str) -> bool:
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(MISSING))


@cache
def _at_hand(size: int) -> list[Font]:
    found: list[Font] = []
    for name in NAMES:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return [*found, ImageFont.load_default(size)]
