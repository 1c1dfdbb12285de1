"""Pictures in a terminal: the escape sequences that draw one.

Three protocols draw pixels at the cursor: kitty's, iTerm2's and sixel. All other terminals get half
blocks, two pixels above each other in a cell.
"""

import base64
import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image

Way = Literal["kitty", "iterm2", "sixel", "blocks"]
Cell = tuple[int, int]  # of a terminal: its width and height in pixels

ESC = "\x1b"
CHUNK = 4096  # characters of base64 that kitty accepts at a time
SIXEL_COLOURS = 256  # the registers that every terminal has
RESET = f"{ESC}[0m"


def cells(picture: Image.Image, cell: Cell) -> tuple[int, int]:
    """Return how many columns and rows a picture covers, at least in part."""
    return -(-picture.width // cell[0]), -(-picture.height // cell[1])


def kitty(picture: Image.Image, cell: Cell) -> str:
    """Draw by https://sw.kovidgoyal.net/kitty/graphics-protocol: a PNG, shown at once, no reply.

    The picture is padded to whole cells with transparent pixels, so that it has the intended size
    whatever the terminal's cells are.
    """
    columns, rows = cells(picture, cell)
    filling = Image.new("RGBA", (columns * cell[0], rows * cell[1]))
    filling.paste(picture, (0, filling.height - picture.height))
    data = _encoded(filling, "PNG")
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    keys = [f"a=T,f=100,q=2,C=1,c={columns},r={rows},", *[""] * (len(chunks) - 1)]
    more = [1] * (len(chunks) - 1) + [0]
    return "".join(
        f"{ESC}_G{key}m={follows};{chunk}{ESC}\\"
        for key, follows, chunk in zip(keys, more, chunks, strict=True)
    )


def iterm2(picture: Image.Image, cell: Cell) -> str:
    """Draw by https://iterm2.com/documentation-images.html: a file in one sequence."""
    columns, rows = cells(picture, cell)
    size = f"width={columns};height={rows};preserveAspectRatio=1"
    return f"{ESC}]1337;File=inline=1;{size}:{_encoded(picture, 'JPEG')}\a"


def sixel(picture: Image.Image, cell: Cell) -> str:
    """Draw by DEC's sixel graphics (VT340): bands of six pixel rows, one colour after another.

    Sixel knows only pixels, so the size of a cell does not matter.
    """
    few = picture.quantize(SIXEL_COLOURS)
    palette = np.array(few.getpalette("RGB"), int).reshape(-1, 3)  # (C, 3)
    pixels = np.asarray(few)
    colours = "".join(
        f"#{colour};2;{red};{green};{blue}"  # percentages
        for colour in np.unique(pixels).tolist()
        for red, green, blue in [(palette[colour] * 100 + 127) // 255]
    )
    bands = [_band(pixels[top : top + 6]) for top in range(0, picture.height, 6)]
    size = f"1;1;{picture.width};{picture.height}"
    return f'{ESC}P0;1q"{size}{colours}{"-".join(bands)}{ESC}\\'


def blocks(picture: Image.Image, *, full_colour: bool) -> list[str]:
    """Draw each two rows of pixels as one line, as wide as the picture; the last may be half."""
    codes = _full_colours(picture) if full_colour else _of_256(picture)
    lines = [
        "".join(f"{ESC}[38;{upper};48;{lower}m▀" for upper, lower in zip(*two, strict=True))
        for two in zip(codes[::2], codes[1::2], strict=False)
    ]
    if len(codes) % 2:
        lines.append("".join(f"{ESC}[38;{upper}m▀" for upper in codes[-1]))
    return [line + RESET for line in lines]


DRAWN: dict[Way, Callable[[Image.Image, Cell], str]] = {
    "kitty": kitty,
    "iterm2": iterm2,
    "sixel": sixel,
}


def _encoded(picture: Image.Image, format: str) -> str:
    stream = io.BytesIO()
    picture.save(stream, format)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _band(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> str:
    """Encode a band, (up to 6, W) colours: the sixels of each colour, with `$` to return left."""
    bits = 1 << np.arange(len(pixels))[:, None]
    return "$".join(
        f"#{colour}" + "".join(_runs(((pixels == colour) * bits).sum(0).tolist()))
        for colour in np.unique(pixels).tolist()
    )


def _runs(sixels: list[int]) -> Iterator[str]:
    """Encode repetitions as `!` and a count; leave out empty sixels at the end."""
    start = 0
    for end in range(1, len(sixels) + 1):
        if end < len(sixels) and sixels[end] == sixels[start]:
            continue
        letter, count = chr(63 + sixels[start]), end - start
        if end < len(sixels) or sixels[start]:
            yield f"!{count}{letter}" if count > 3 else letter * count
        start = end


def _full_colours(picture: Image.Image) -> list[list[str]]:
    pixels = np.asarray(picture).tolist()
    return [[f"2;{red};{green};{blue}" for red, green, blue in row] for row in pixels]


def _of_256(picture: Image.Image) -> list[list[str]]:
    pixels = np.asarray(picture.quantize(palette=_palette(), dither=Image.Dither.NONE)).tolist()
    return [[f"5;{16 + colour}" for colour in row] for row in pixels]


@cache
def _palette() -> Image.Image:
    """Return the colours 16 to 255 of 256-colour terminals: a 6 × 6 × 6 cube and 24 greys."""
    steps = (0, 95, 135, 175, 215, 255)
    cube = [(red, green, blue) for red in steps for green in steps for blue in steps]
    greys = [(level, level, level) for level in range(8, 247, 10)]
    held = Image.new("P", (1, 1))
    held.putpalette([channel for colour in cube + greys for channel in colour])
    return held
