"""Text in a drawing, whatever its script, as far as this system's fonts have the letters.

The font that comes with Pillow has little more than English; nothing is fetched.
"""

from collections.abc import Iterator
from functools import cache
from itertools import groupby

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Files that Pillow finds where the system keeps its fonts: those of Linux, Windows and macOS with
# Latin, Greek and Cyrillic letters, then those with Chinese, Japanese and Korean ones.
NAMES = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "Arial.ttf", "Arial Unicode.ttf"),
    *("NotoSansCJK-Regular.ttc", "DroidSansFallbackFull.ttf", "wqy-zenhei.ttc", "msyh.ttc"),
    *("YuGothR.ttc", "malgun.ttf", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
)
NOBODYS = "\uffff"  # no letter: drawn as a font draws those that it lacks


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    width: float,
    size: int,
    ink: tuple[int, int, int],
) -> None:
    """One line with its top at `at`, as much of it as fits into `width` pixels."""
    kept = text
    while kept and length(text, size) > width:
        kept = kept[:-1]
        text = kept + "…"
    left, top = at
    for font, run in _runs(text, size):
        draw.text((left, top + size), run, ink, font, anchor="ls")  # on one line, in any font
        left += font.getlength(run)


def length(text: str, size: int) -> float:
    """In pixels."""
    return sum(font.getlength(run) for font, run in _runs(text, size))


def _runs(text: str, size: int) -> Iterator[tuple[Font, str]]:
    for font, letters in groupby(text, lambda letter: _font_for(letter, size)):
        yield font, "".join(letters)


@cache
def _font_for(letter: str, size: int) -> Font:
    """The first that has it; where none has, the first."""
    fonts = _at_hand(size)
    return next((font for font in fonts if _has(font, letter)), fonts[0])


def _has(font: Font, letter: str) -> bool:
    return letter == " " or bytes(font.getmask(letter)) != bytes(font.getmask(NOBODYS))


@cache
def _at_hand(size: int) -> list[Font]:
    found: list[Font] = []
    for name in NAMES:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return [*found, ImageFont.load_default(size)]
