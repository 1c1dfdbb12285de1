"""Search results as text and bare paths, stable enough for scripts.

In a pipe the text has five tab-separated columns: score, relevance as a word, size, date, path; and
a sixth, the moment, for a video or a picture with several frames or pages. In a terminal they are
aligned, without relevance if none is known. File names may contain any byte
except "/" and NUL: text escapes whatever a terminal could take for a command (a newline as \\n),
JSON escapes bytes that are not UTF-8 as \\udcXX, which Python's json reads back, and `paths` is
exact.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from retrieval.errors import LEADS_NOWHERE, OutputClosed
from retrieval.records import Image, Match
from retrieval.search.relevance import strength


def as_table(matches: Sequence[Match], *, by_date: bool = False) -> str:
    """Return aligned lines for a terminal.

    by_date: the matches are sorted by date, so a file's own date is shown, marked as such, for a
    picture without a date taken.
    """
    rows = [(*_columns(match, by_date), _beside(match)) for match in matches]
    word, size, date = (max((len(row[i]) for row in rows), default=0) for i in (1, 2, 3))
    is_known = any(match.relevance is not None for match in matches)
    return "".join(
        f"{row[0]:>6}  {f'{row[1]:<{word}}  ' if is_known else ''}"
        f"{row[2]:>{size}}  {row[3]:<{date}}  {row[4]}{row[5]}\n"
        for row in rows
    )


def as_columns(matches: Sequence[Match], *, by_date: bool = False) -> str:
    """Return tab-separated lines for another program; by_date as in `as_table`."""
    rows = ((*_columns(match, by_date), *_moment(match)) for match in matches)
    return "".join("\t".join(row) + "\n" for row in rows)


def as_paths(matches: Sequence[Match], *, end: bytes) -> bytes:
    """Return the exact paths, each followed by `end`."""
    return paths_of([match.path for match in matches], end=end)


def paths_of(paths: Sequence[Path], *, end: bytes) -> bytes:
    return b"".join(os.fsencode(path) + end for path in paths)


def printable(text: str) -> str:
    """Make text safe for a terminal: escape control characters and bytes that are not text."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def write(output: str | bytes, *, must_arrive: bool = True) -> None:
    """Write to standard output and flush, so that a closed pipe is noticed here.

    Raises OutputClosed if standard output was closed from the start and the output must arrive.
    """
    if must_arrive and getattr(sys.stdout, LEADS_NOWHERE, False):
        raise OutputClosed("standard output is closed, so there is nowhere to write the result")
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


def _moment(match: Match) -> list[str]:
    """Return the best moment, "1:23" or "page 2"; nothing of a still picture."""
    return [str(moment) for moment in match.moments[:1]]


def _beside(match: Match) -> str:
    """Return what follows a path in a terminal: the moment, copies and companions."""
    at = "".join(f" @ {moment}" for moment in _moment(match))
    return at + _copies(match) + _companions(match)


def _date(image: Image, by_date: bool) -> str:
    if image.taken_at:
        return image.taken_at.strftime("%Y-%m-%d")
    if by_date and image.modified_at:
        return f"{image.modified_at:%Y-%m-%d} (file)"
    return "-"


def _copies(match: Match) -> str:
    others = len(match.image.paths) - 1
    return f"  (+{others} cop{'y' if others == 1 else 'ies'})" if others else ""


def _companions(match: Match) -> str:
    """Return the extensions of the files that belong to a match."""
    ends = dict.fromkeys(each.suffix.lower() or each.name for each in match.companions)
    return f"  (with {printable(', '.join(ends))})" if ends else ""


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    if 0xDC80 <= ord(character) <= 0xDCFF:  # Python's stand-in for a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
