"""What the terminal can do: which graphics it draws, and how large its cells are.

The environment identifies most terminals. Only if it does not, and only if we may read from the
terminal, we ask it, for a fraction of a second and in a mode that is always restored.
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

PATIENCE = 0.5  # seconds for a reply; any terminal is much faster, even through ssh
GLANCE = 0.05  # seconds of one wait; a Ctrl-C at its very beginning is noticed after it
CELL = 10, 20  # pixels, if the terminal does not say; those of the VT340, where sixel comes from

# "Do you support kitty's graphics?", then a question that every terminal answers: its features.
ASKED = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
ANSWERED = re.compile(rb"\x1b\[\?([\d;]*)c")
SIXEL = b"4"  # among the features


class Screen(NamedTuple):
    """The size of the terminal in cells, and of a cell in pixels."""

    columns: int
    rows: int
    cell: tuple[int, int] = CELL


def is_terminal() -> bool:
    """Return whether standard output is a terminal that understands escape sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def screen() -> Screen:
    """Return the size from $COLUMNS and $LINES, else from the terminal, else 80 × 24."""
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
    """Return whether the terminal claims 24-bit colour; 256 colours are safe elsewhere."""
    return environment.get("COLORTERM") in ("truecolor", "24bit") or "WT_SESSION" in environment


def best_way() -> "Way":
    """Return the best way to draw pictures in this terminal."""
    return _told_by(os.environ) or _asked_of_it()


def _told_by(environment: Mapping[str, str]) -> "Way | None":
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    # tmux and screen sit between us and the terminal: they block pictures and reply in its place.
    if "TMUX" in environment or "STY" in environment or term.startswith(("screen", "tmux")):
        return "blocks"
    if term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    if program == "Apple_Terminal" or term == "linux":  # they would print the question
        return "blocks"
    return None


def _asked_of_it() -> "Way":
    answer = _answer()
    if b"\x1b_Gi=31;OK" in answer:
        return "kitty"
    features = ANSWERED.search(answer)
    return "sixel" if features and SIXEL in features[1].split(b";") else "blocks"


def _answer() -> bytes:
    """Return the terminal's reply; empty if there is none to ask, or no reply in time."""
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
    """Read replies without echo and without waiting for a newline. Ctrl-C still works, and the mode
    is restored.
    """
    import termios
    import tty

    if os.tcgetpgrp(terminal) != os.getpgrp():  # a program in the background would be stopped
        raise OSError("another program is using the terminal")
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
