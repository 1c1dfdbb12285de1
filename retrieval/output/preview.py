"""Rows of pictures in a terminal, each with its caption and name beneath."""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from retrieval.output.captions import Section, Shown, thumbnail
from retrieval.output.graphics import DRAWN, ESC, Way, blocks, cells
from retrieval.output.terminal import Screen

if TYPE_CHECKING:
    from PIL import Image

    Pictures = Sequence[Image.Image | None]

GAP = 2  # columns between pictures
MIN_COLUMNS = 24  # of a picture, if the screen is wide enough
MIN_COLUMNS_OF_BLOCKS = 32  # half blocks are few pixels
BENEATH = 3  # lines below a picture: caption, name, an empty one


@dataclass(frozen=True)
class Preview:
    """How to draw pictures, and where."""

    way: Way
    screen: Screen
    full_colour: bool = True  # of half blocks
    links: bool = False  # names are links to their files, in terminals that support links

    def of(self, sections: Sequence[Section]) -> Iterator[str]:
        """Yield the text to write, one row of pictures at a time."""
        for section in sections:
            if len(sections) > 1:
                yield f"{section.title}\n"
            for start in range(0, len(section.shown), self._across):
                yield self._row(section.shown[start : start + self._across])

    @property
    def _across(self) -> int:
        """The number of pictures in a row."""
        least = MIN_COLUMNS_OF_BLOCKS if self.way == "blocks" else MIN_COLUMNS
        return max(1, (self.screen.columns + GAP) // (least + GAP))

    @property
    def _width(self) -> int:
        """The columns for each picture. Together they fill the screen."""
        return max(1, (self.screen.columns - GAP * (self._across - 1)) // self._across)

    @property
    def _cell(self) -> tuple[int, int]:
        return (1, 2) if self.way == "blocks" else self.screen.cell

    def _row(self, shown: Sequence[Shown]) -> str:
        across, down = self._cell
        width = self._width * across
        rows = max(1, min(width * 3 // 4 // down, self.screen.rows - BENEATH - 1))
        pictures = [thumbnail(one, width, rows * down) for one in shown]
        drawn = self._in_text(pictures) if self.way == "blocks" else self._in_pixels(pictures)
        captions = [cut(one.caption, self._width) for one in shown]
        names = [cut(one.name, self._width) for one in shown]
        links = [self._link(one, name) for one, name in zip(shown, names, strict=True)]
        said = self._line(captions, map(span, captions)) + self._line(links, map(span, names))
        return drawn + said + "\n"

    def _in_text(self, pictures: "Pictures") -> str:
        drawn = [blocks(one, full_colour=self.full_colour) if one else [] for one in pictures]
        height = max(map(len, drawn))
        lines = zip(*([""] * (height - len(lines)) + lines for lines in drawn), strict=True)
        widths = [one.width if one else 0 for one in pictures]
        return "".join(
            self._line(line, [bool(text) * wide for text, wide in zip(line, widths, strict=True)])
            for line in lines
        )

    def _in_pixels(self, pictures: "Pictures") -> str:
        """Draw a row of pictures as pixels, after making room: nothing may scroll while the cursor
        moves between them.
        """
        heights = [cells(one, self._cell)[1] if one else 0 for one in pictures]
        room = max(heights)
        drawn = ["\n" * room + f"{ESC}[{room}A" if room else ""]
        for place, (one, height) in enumerate(zip(pictures, heights, strict=True)):
            if one:
                column = place * (self._width + GAP) + 1
                lower = f"{ESC}[{room - height}B" if room > height else ""
                picture = DRAWN[self.way](one, self._cell)
                drawn.append(f"{ESC}[{column}G{ESC}7{lower}{picture}{ESC}8")
        return "".join(drawn) + (f"{ESC}[{room}B\r" if room else "")

    def _line(self, texts: Iterable[str], spans: Iterable[int]) -> str:
        """Return a line with each text below its picture; `spans` are the texts' widths."""
        place = self._width + GAP
        padded = [text + " " * (place - taken) for text, taken in zip(texts, spans, strict=True)]
        return "".join(padded).rstrip(" ") + "\n"

    def _link(self, one: Shown, name: str) -> str:
        """Make a link by OSC 8, which terminals without support ignore."""
        if not self.links:
            return name
        return f"{ESC}]8;;{one.path.as_uri()}{ESC}\\{name}{ESC}]8;;{ESC}\\"


def span(text: str) -> int:
    """Return the width of a printable text in columns."""
    return sum(map(_columns, text))


def cut(text: str, width: int) -> str:
    """Shorten a text to this many columns; a cut is marked with … at the end."""
    if span(text) <= width:
        return text
    kept = ""
    for character in text:
        if span(kept + character) > width - 1:
            break
        kept += character
    return kept + "…"


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
