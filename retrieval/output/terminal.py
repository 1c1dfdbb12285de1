"""What the terminal is that we write to: which graphics it draws, how large its cells are.

The environment tells of most; only where it does not, and only a terminal that is ours to read
from, is asked, for a fraction of a second and in a mode that is undone whatever happens.
"""

import os
import re
import select
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from retrieval.output.graphics import Way

PATIENCE = 0.5  # seconds for an answer, which any terminal has sent long before, ssh or not
GLANCE = 0.05  # seconds: a Ctrl-C that comes just as we begin to wait is heeded after so many
CELL = 10, 20  # pixels of one where the terminal does not say; the VT340's, whom sixel is from

# "Do you know kitty's graphics?", and what every terminal answers: "which features have you?"
ASKED = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
ANSWERED = re.compile(rb"\x1b\[\?([\d;]*)c")
SIXEL = b"4"  # among the features


class Screen(NamedTuple):
    """Where pictures are drawn, in cells, and a cell in pixels."""

    columns: int
    rows: int
    cell: tuple[int, int] = CELL


def is_terminal() -> bool:
    """Whether standard output is one that heeds commands."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def screen() -> Screen:
    """$COLUMNS and $LINES, else what the terminal says of itself, else 80 × 24."""
    import shutil

    return Screen(*shutil.get_terminal_size(), _cell())


def _cell() -> tuple[int, int]:
    if sys.platform == "win32":
        return CELL
    import fcntl
    import struct
    import termios

    try:
        size = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
    except (OSError, ValueError):  # a pipe; no file at all
        return CELL
    rows, columns, width, height = struct.unpack("HHHH", size)
    if not (rows and columns and width >= columns and height >= rows):
        return CELL
    return width // columns, height // rows


def full_colour(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether 24 bits of colour are promised; 256 colours are safe elsewhere."""
    return environment.get("COLORTERM") in ("truecolor", "24bit") or "WT_SESSION" in environment


def best_way() -> "Way":
    """The best that this terminal draws."""
    return _told_by(os.environ) or _asked_of_it()


def _told_by(environment: Mapping[str, str]) -> "Way | None":
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    # Between us and the terminal they keep pictures from it, and answer in its place.
    if "TMUX" in environment or "STY" in environment or term.startswith(("screen", "tmux")):
        return "blocks"
    if term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if program == "Apple_Terminal" or term == "linux":  # would print the question
        return "blocks"
    return None


def _asked_of_it() -> "Way":
    answer = _answer()
    if b"\x1b_Gi=31;OK" in answer:
        return "kitty"
    features = ANSWERED.search(answer)
    return "sixel" if features and SIXEL in features[1].split(b";") else "blocks"


def _answer() -> bytes:
    """Empty where there is nobody to ask, or no answer in time."""
    if sys.platform == "win32":
        return b""
    import termios

    try:
        with open("/dev/tty", "r+b", buffering=0) as terminal, _unechoed(terminal.fileno()):
            terminal.write(ASKED)
            said, until = b"", time.monotonic() + PATIENCE
            while not ANSWERED.search(said) and time.monotonic() < until:
                if select.select([terminal], [], [], GLANCE)[0]:
                    said += os.read(terminal.fileno(), 1024)
            return said
    except (OSError, termios.error):
        return b""


@contextmanager
def _unechoed(terminal: int) -> Iterator[None]:
    """Answers come unseen and without a newline; Ctrl-C still works, and undoes this, too."""
    import termios
    import tty

    if os.tcgetpgrp(terminal) != os.getpgrp():  # a program in the background would be stopped
        raise OSError("the terminal is another program's now")
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
