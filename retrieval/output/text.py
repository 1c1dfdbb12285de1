"""The answers of a search as text, JSON and bare paths, each stable enough to be built upon.

In a pipe the text has five columns between tabs: score, relevance in a word, size, date, path. A
terminal gets them aligned, without the relevance where none is claimed. Names may hold any byte but
"/" and NUL: in text whatever a terminal could take for a command is written as an escape (a newline
as \\n), in JSON a byte that is not UTF-8 is written as \\udcXX, which Python's json reads back, and
`paths` is exact.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from retrieval.errors import LEADS_NOWHERE, OutputClosed
from retrieval.records import Image, Match
from retrieval.search.relevance import strength


def as_table(matches: Sequence[Match], *, by_date: bool = False) -> str:
    """For a terminal. by_date: they are sorted by date, so that a file's own date is told as well,
    as such, where a picture has none.
    """
    rows = [(*_columns(match, by_date), _copies(match)) for match in matches]
    word, size, date = (max((len(row[i]) for row in rows), default=0) for i in (1, 2, 3))
    is_known = any(match.relevance is not None for match in matches)
    return "".join(
        f"{row[0]:>6}  {f'{row[1]:<{word}}  ' if is_known else ''}"
        f"{row[2]:>{size}}  {row[3]:<{date}}  {row[4]}{row[5]}\n"
        for row in rows
    )


def as_columns(matches: Sequence[Match], *, by_date: bool = False) -> str:
    """For another program. by_date: as of `as_table`."""
    return "".join("\t".join(_columns(match, by_date)) + "\n" for match in matches)


def as_paths(matches: Sequence[Match], *, end: bytes) -> bytes:
    """The bytes that the system knows the files by, each followed by `end`."""
    return paths_of([match.path for match in matches], end=end)


def paths_of(paths: Sequence[Path], *, end: bytes) -> bytes:
    return b"".join(os.fsencode(path) + end for path in paths)


def printable(text: str) -> str:
    """What is safe on a terminal: control characters and bytes that are no text as escapes."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def write(output: str | bytes, *, must_arrive: bool = True) -> None:
    """To standard output, now: a pipe that was closed is noticed here.

    Raises OutputClosed where there is no standard output and the output is what was asked for.
    """
    if must_arrive and getattr(sys.stdout, LEADS_NOWHERE, False):
        raise OutputClosed("standard output is closed, so there is nowhere to write the answer")
    if isinstance(output, str):
        output = output.encode(sys.stdout.encoding or "utf-8", "backslashreplace")
    sys.stdout.flush()
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def _columns(match: Match, by_date: bool) -> tuple[str, str, str, str, str]:
    image = match.image
    date = _date(image, by_date)
    size = f"{image.width}x{image.height}"
    word = "-" if match.relevance is None else strength(match.relevance)
    return f"{match.score:.3f}", word, size, date, printable(os.fspath(match.path))


def _date(image: Image, by_date: bool) -> str:
    if image.taken_at:
        return image.taken_at.strftime("%Y-%m-%d")
    if by_date and image.modified_at:
        return f"{image.modified_at:%Y-%m-%d} (file)"
    return "-"


def _copies(match: Match) -> str:
    others = len(match.image.paths) - 1
    return f"  (+{others} cop{'y' if others == 1 else 'ies'})" if others else ""


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if 0xDC80 <= ord(character) <= 0xDCFF:  # a byte that is no UTF-8, as Python carries it
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
