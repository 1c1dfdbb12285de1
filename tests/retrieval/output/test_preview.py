"""Pictures in the terminal: what is sent decodes to what was found, on terminals of every kind."""

import base64
import fcntl
import io
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from retrieval.output.captions import Section, Shown
from retrieval.output.graphics import Way
from retrieval.output.preview import Preview, cut, span
from retrieval.output.terminal import ASKED, Screen
from tests.retrieval.cli.test_cli import ROOT, ok, refused, retrieve
from tests.retrieval.small import DATA

pytestmark = pytest.mark.usefixtures("home")

Pixels = NDArray[np.uint8]  # (H, W, 3)

KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c"
SIXEL = b"\x1b[?62;4;22c"
NEITHER = b"\x1b[?1;2c"
WORST = 4 * 60  # seconds until a test gives up


# -- from what is sent back to pixels ------------------------------------------------------------


def kitty_pictures(sent: str) -> list[tuple[Pixels, int, int]]:
    """With the columns and rows that each is to take."""
    pictures, data, first = [], "", {}
    for keys, chunk in re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", sent):
        said = dict(key.split("=") for key in keys.split(","))
        if said.get("a") == "q":
            continue
        first = said if "a" in said else first
        assert first["a"] == "T" and first["f"] == "100" and len(chunk) <= 4096
        data += chunk
        if said["m"] == "0":
            pictures.append((opened(data), int(first["c"]), int(first["r"])))
            data = ""
    assert not data
    return pictures


def iterm2_pictures(sent: str) -> list[tuple[Pixels, int, int]]:
    found = re.findall(r"\x1b\]1337;File=inline=1;width=(\d+);height=(\d+);[^:]*:([^\a]*)\a", sent)
    return [(opened(data), int(columns), int(rows)) for columns, rows, data in found]


def opened(data: str) -> Pixels:
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return np.asarray(picture.convert("RGB"))


def sixel_pictures(sent: str) -> list[Pixels]:
    found = re.findall(r'\x1bP0;1q"1;1;(\d+);(\d+)((?:#\d+;2;\d+;\d+;\d+)+)([^\x1b]*)\x1b\\', sent)
    return [of_sixels(int(w), int(h), colours, bands) for w, h, colours, bands in found]


def of_sixels(width: int, height: int, colours: str, bands: str) -> Pixels:
    named = re.findall(r"#(\d+);2;(\d+);(\d+);(\d+)", colours)
    palette = {name: [int(part) * 255 // 100 for part in rgb] for name, *rgb in named}
    pixels, drawn = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), int)
    for band, text in enumerate(bands.split("-")):
        for colour, run in re.findall(r"#(\d+)([^#$]*)", text):
            x = 0
            for count, letter in re.findall(r"(?:!(\d+))?([?-~])", run):
                for x in range(x, x + int(count or 1)):  # noqa: B020
                    for bit in range(6):
                        if (ord(letter) - 63) >> bit & 1:
                            pixels[6 * band + bit, x] = palette[colour]
                            drawn[6 * band + bit, x] += 1
                x += 1
    assert (drawn == 1).all()  # every pixel once
    return pixels


def half_blocks(sent: str) -> Pixels:
    """Of one picture; in 24 bits."""
    lines = [
        re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+)(?:;48;2;(\d+);(\d+);(\d+))?m▀", line)
        for line in sent.splitlines()
    ]
    cells = np.array(
        [[[int(part or 0) for part in cell] for cell in line] for line in lines if line]
    )
    return cells.reshape(*cells.shape[:2], 2, 3).swapaxes(1, 2).reshape(-1, cells.shape[1], 3)


def is_red(pixels: Pixels) -> bool:
    """In its middle, as the pictures of these tests are."""
    red, green, blue = pixels[len(pixels) // 2, pixels.shape[1] // 3].astype(int)
    return bool(red > 200 and green < 60 and blue < 60)


# -- a terminal ----------------------------------------------------------------------------------


@dataclass
class Seen:
    """What a program did on a terminal."""

    sent: str
    code: int
    restored: bool  # the terminal's mode is as before
    asked: bool


def on_terminal(
    *arguments: object,
    answer: bytes = b"",
    first: str = "",
    size: tuple[int, int, int, int] = (30, 80, 800, 600),
    **environment: str,
) -> Seen:
    """Runs `retrieve` on a terminal of `size` (rows, columns, and pixels across and down) that
    gives this answer when it is asked; `first` is run ahead of it.
    """
    terminal, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
    before = termios.tcgetattr(side)
    own = f"import os; os.open({os.ttyname(side)!r}, os.O_RDWR)\n"  # its controlling terminal
    code = f"{own}{first}\nfrom retrieval.cli.main import main; main()"
    plain = {
        k: v for k, v in os.environ.items() if k not in ("TMUX", "STY", "COLORTERM", "COLUMNS")
    }
    told = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "TERM_PROGRAM": "", "COLORTERM": "truecolor"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=side, stdout=side, stderr=side, start_new_session=True,
        env={**plain, **told, **environment},
    ) as program:  # fmt: skip
        sent = b"".join(_read(terminal, program, answer))
    seen = Seen(
        sent.decode().replace("\r\n", "\n"),
        program.returncode,
        termios.tcgetattr(side) == before,
        ASKED in sent,
    )
    os.close(side)
    os.close(terminal)
    return seen


def _read(terminal: int, program: "subprocess.Popen[bytes]", answer: bytes) -> Iterator[bytes]:
    until, held = time.monotonic() + WORST, b""
    while True:
        ended = program.poll() is not None
        if select.select([terminal], [], [], 0 if ended else 0.05)[0]:
            held += (some := os.read(terminal, 65536))
            yield some
            if answer and ASKED in held:
                os.write(terminal, answer)
                answer = b""
        elif ended:
            return
        elif time.monotonic() > until:
            program.kill()
            pytest.fail("the program does not end")


def search_red(indexed: Path, *arguments: object, **how: object) -> Seen:
    red = indexed / "large/red.png"
    command = "--library", indexed, "search", red, "-n", 3, "--preview", *arguments
    return on_terminal(*command, **how)  # type: ignore[arg-type]


# -- which way -----------------------------------------------------------------------------------


def test_a_terminal_that_knows_kittys_protocol(indexed: Path) -> None:
    seen = search_red(indexed, answer=KITTY)
    pictures = kitty_pictures(seen.sent)
    assert seen.code == 0 and seen.restored and len(pictures) == 3
    pixels, columns, rows = pictures[0]
    assert is_red(pixels) and pixels.shape == (40, 50, 3)  # whole cells of 10 × 20 pixels
    assert (columns, rows) == (5, 2)


def test_a_terminal_that_knows_sixel(indexed: Path) -> None:
    seen = search_red(indexed, answer=SIXEL)
    pictures = sixel_pictures(seen.sent)
    assert seen.code == 0 and seen.restored and len(pictures) == 3
    assert is_red(pictures[0]) and pictures[0].shape == (36, 48, 3)


def test_a_terminal_that_knows_neither(indexed: Path) -> None:
    seen = search_red(indexed, "-n", 1, answer=NEITHER)
    assert seen.code == 0 and seen.restored and seen.asked
    assert is_red(half_blocks(seen.sent)) and "1.000" in seen.sent and "red.png" in seen.sent


def test_a_terminal_that_says_nothing(indexed: Path) -> None:
    seen = search_red(indexed, "-n", 1)
    assert seen.code == 0 and seen.restored and seen.asked
    assert is_red(half_blocks(seen.sent))


@pytest.mark.parametrize(
    ("environment", "way"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM_PROGRAM": "Apple_Terminal"}, "blocks"),
        ({"TERM": "linux"}, "blocks"),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/tmux-0/default,1,0"}, "blocks"),
        ({"TERM": "screen", "STY": "1.pts", "LC_TERMINAL": "iTerm2"}, "blocks"),
    ],
)
def test_some_need_not_be_asked(environment: dict[str, str], way: Way) -> None:
    from retrieval.output.terminal import _told_by

    assert _told_by(environment) == way


def test_who_is_told_does_not_ask(indexed: Path) -> None:
    for how in ({"TERM": "xterm-kitty"}, {"TMUX": "x"}):
        assert not search_red(indexed, **how).asked
    seen = on_terminal("--library", indexed, "search", "x", "--preview=iterm2", "-n", 2, TMUX="x")
    assert not seen.asked and len(iterm2_pictures(seen.sent)) == 2
    dumb = search_red(indexed, TERM="dumb")
    assert not dumb.asked and dumb.code == 0 and "▀" not in dumb.sent and "large/red" in dumb.sent


def test_ctrl_c_leaves_the_terminal_as_it_was(indexed: Path) -> None:
    patient = "from retrieval.output import terminal; terminal.PATIENCE = 1000.0"
    seen = search_red(indexed, answer=b"\x03", first=patient)
    assert seen.code == 130 and seen.restored and seen.asked
    assert seen.sent.endswith("interrupted\n")


def test_in_the_background_nobody_is_asked(indexed: Path) -> None:
    aside = "import sys\nif child := os.fork(): sys.exit(os.waitpid(child, 0)[1])\nos.setpgrp()"
    seen = search_red(indexed, "-n", 1, first=aside, answer=KITTY)
    assert seen.code == 0 and not seen.asked and is_red(half_blocks(seen.sent))


# -- in a pipe -----------------------------------------------------------------------------------


def test_a_pipe_gets_text_unless_a_way_is_named(indexed: Path) -> None:
    command = "--library", indexed, "search", indexed / "large/red.png", "-n", 2
    result = retrieve(*command, "--preview")
    assert result.exit_code == 0 and result.stdout == ok(*command)
    assert "--preview=blocks" in result.stderr
    assert len(kitty_pictures(ok(*command, "--preview=kitty"))) == 2
    assert len(iterm2_pictures(ok(*command, "--preview=iterm2"))) == 2
    assert len(sixel_pictures(ok(*command, "--preview=sixel"))) == 2
    assert "▀" in ok(*command, "--preview=blocks")


def test_preview_never_eats_a_word(indexed: Path) -> None:
    library = ("--library", indexed)
    for words in (["--preview", "blocks", "red"], ["red", "--preview"], ["--preview", "red"]):
        expected = [word for word in words if word != "--preview"]
        assert retrieve(*library, "search", *words).stdout == ok(*library, "search", *expected)
    assert ok(*library, "search", "--", "a", "--preview") == ok(
        *library, "search", "--", "a --preview"
    )


def test_what_does_not_go_together(indexed: Path) -> None:
    for form in ("--json", "--paths", "-0"):
        assert "--preview" in refused("search", "x", "--preview", form, code=2)
    assert "kitty" in refused("similar", "x.png", "--preview=ascii", code=2)


# -- what is shown -------------------------------------------------------------------------------


def drawn(shown: list[Shown], way: Way, columns: int = 80, rows: int = 40, **how: bool) -> str:
    return "".join(Preview(way, Screen(columns, rows), **how).of([Section("", shown)]))


def red(folder: Path, size: tuple[int, int] = (400, 300), name: str = "red.png") -> Shown:
    Image.new("RGB", size, (250, 20, 20)).save(folder / name)
    return Shown(folder / name, "0.250  fair")


@pytest.mark.skipif(not DATA.exists(), reason="the reference data is not here")
def test_pictures_are_upright() -> None:
    turned = [Shown(DATA / "orientation" / f"Landscape_{n}.jpg", "") for n in range(9)]
    for pictures in (
        [pixels for pixels, _, _ in kitty_pictures(drawn(turned, "kitty"))],
        [pixels for pixels, _, _ in iterm2_pictures(drawn(turned, "iterm2"))],
        sixel_pictures(drawn(turned, "sixel")),
        [half_blocks(drawn([one], "blocks", full_colour=True)) for one in turned],
    ):
        assert len(pictures) == 9
        for pixels in pictures:
            assert pixels.shape == pictures[0].shape
            assert np.abs(pixels.astype(int) - pictures[0].astype(int)).mean() < 16


def test_256_colours_where_no_more_are_promised(tmp_path: Path) -> None:
    text = drawn([red(tmp_path)], "blocks", full_colour=False)
    assert ";2;" not in text
    assert set(re.findall(r"8;5;(\d+)", text)) == {"196"}  # of the cube: (255, 0, 0)


@pytest.mark.parametrize("way", ["kitty", "iterm2", "sixel", "blocks"])
@pytest.mark.parametrize("columns", [1, 2, 7, 20, 26, 50, 80, 250])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, way: Way, columns: int) -> None:
    names = (
        "a long name of a picture that was taken somewhere.png",
        "漢字漢字漢字漢字漢字.png",
        "é.png",
    )
    text = drawn([red(tmp_path, (800, 300), name) for name in names] * 3, way, columns)
    for columns_taken, rows in ((c, r) for _, c, r in kitty_pictures(text) + iterm2_pictures(text)):
        assert columns_taken <= columns and rows <= 36
    assert all(pixels.shape[1] <= 10 * columns for pixels in sixel_pictures(text))
    plain = re.sub(r"\x1b\[[\d;]*[A-Za-z]|\x1b[78]|\x1b[_P][^\x1b]*\x1b\\|\x1b\][^\a]*\a", "", text)
    assert max(span(line) for line in plain.splitlines()) <= columns


def test_a_row_is_no_higher_than_the_terminal(tmp_path: Path) -> None:
    tall = red(tmp_path, (300, 3000))
    for way in ("kitty", "blocks"):
        assert drawn([tall], way, rows=12).count("\n") < 12 + 4  # type: ignore[arg-type]
    assert "▀" in drawn([tall], "blocks", rows=1)


def test_places_of_gone_pictures_stay_empty(tmp_path: Path) -> None:
    here, gone, broken = red(tmp_path), Shown(tmp_path / "gone.png", "0.2"), tmp_path / "no.png"
    broken.write_text("no picture")
    shown = [gone, here, Shown(broken, "0.1")]
    for way, count in (("kitty", kitty_pictures), ("sixel", sixel_pictures)):
        text = drawn(shown, way)  # type: ignore[arg-type]
        assert len(count(text)) == 1 and "\x1b[28G" in text  # in the second place
        assert all(name in text for name in ("gone.png", "red.png", "no.png"))
    assert "▀" not in drawn([gone], "blocks") and "gone.png" in drawn([gone], "blocks")


def test_names_hold_no_commands_and_lead_to_their_files(tmp_path: Path) -> None:
    odd = red(tmp_path, name="\udcff\x1b[31m\né.png")
    assert "\\xff\\x1b[31m\\né.png" in drawn([odd], "blocks")
    assert "]8;" not in drawn([odd], "blocks")
    text = drawn([odd], "blocks", links=True)
    [uri] = re.findall(r"\x1b]8;;file://([^\x1b]+)\x1b\\", text)
    assert unquote_to_bytes(uri) == os.fsencode(odd.path)


def test_text_is_cut_to_what_fits() -> None:
    assert cut("abcdef", 6) == "abcdef" and cut("abcdef", 5) == "abcd…" and cut("abc", 1) == "…"
    assert span("漢e\u0301") == 3 and cut("漢字漢", 5) == "漢字…" and cut("漢字漢", 4) == "漢…"


def test_groups_have_titles(indexed: Path) -> None:
    text = ok("--library", indexed, "duplicates", "--preview=blocks")
    assert "keep" in text and "same" in text and "red again.png" in text
    assert f"\n{indexed}/large/" in text


def test_nothing_found_shows_nothing(indexed: Path) -> None:
    command = "search", "x", "--min-score", 1, "--preview=blocks"
    result = retrieve("--library", indexed, *command)
    assert result.exit_code == 0 and result.stdout == "" and "no match" in result.stderr
