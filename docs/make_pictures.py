"""`make pictures`: paint a library, search it, and draw the page and a terminal for the README.

The terminal is read from a real one: what `retrieve search --preview` writes in kitty's protocol is
placed on a page by the few commands that it uses, and Chromium draws that.
"""

import fcntl
import html
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from clipmodel.scenes.painting import paint
from clipmodel.scenes.scene import imagine
from retrieval import Library
from retrieval.output import sheet
from retrieval.output.captions import answer

OUT = Path(__file__).parent / "pictures"
QUERY = "a red car"
SEED = 3_000_000  # apart from the seeds of training, and of the demo
ASKED = 14  # scenes that show what is searched for
OTHERS = 160
SHAPES = (960, 720), (720, 960), (1080, 720), (960, 540), (720, 720)
CAMERAS = ("Google", "Pixel 8"), ("NIKON", "D90"), ("Apple", "iPhone 15")

COLUMNS, ROWS, CELL = 104, 26, (10, 20)  # of the terminal, and a cell of it in pixels
ENTRY = "import sys; sys.argv[0] = 'retrieve'; from retrieval.cli.main import main; main()"


def paint_library(folder: Path) -> Path:
    """Paint scenes of many shapes, dates and cameras, and index them with the bundled model."""
    photos = folder / "Pictures"
    for number in range(ASKED + OTHERS):
        having = ("car", "red") if number < ASKED else None
        seed = SEED + 2 * number
        picture = paint(imagine(seed, "test", having), *SHAPES[number % len(SHAPES)], seed)
        exif = Image.Exif()
        exif[0x010F], exif[0x0110] = CAMERAS[number % len(CAMERAS)]
        taken = (
            f"{2019 + number % 6}:{1 + number % 12:02}:{1 + number % 28:02} 14:{number % 60:02}:00"
        )
        exif.get_ifd(0x8769)[0x9003] = taken
        file = photos / f"{2019 + number % 6}" / f"IMG_{2000 + 37 * number % 1000}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file, quality=92, exif=exif)
    with Library.open(folder / "library") as library:
        library.index(photos, model="tiny")
    return folder / "library"


FAILURES = ("three cats", "a bird above a boat", "a dog to the left of a tree")


def draw_failures(library: Path) -> None:
    """Draw what the bundled model gets wrong, for its card: the first answers to FAILURES."""
    with Library.open(library) as opened:
        found = opened.search_many(FAILURES, 5, rank="cosine")
    answers = [answer(f"“{asked}”", hits) for asked, hits in zip(FAILURES, found, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        sheet.save(answers, drawn := Path(folder) / "failures.png")
        save(drawn.read_bytes(), "failures.webp")


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", ENTRY, *words]


# -- the page -------------------------------------------------------------------------------------


@contextmanager
def serving(library: Path) -> Iterator[str]:
    """Run `retrieve serve`; yield the address that it prints."""
    serve = command("serve", "--library", str(library), "--port", "0")
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[0]
        finally:
            server.terminate()


def draw_page(page: Page, library: Path) -> None:
    """Save what the page shows of a search."""
    with serving(library) as address:
        page.goto(address)
        page.get_by_role("textbox").fill(QUERY)
        page.keyboard.press("Enter")
        page.wait_for_url("**q=*")
        page.wait_for_load_state("networkidle")
        page.evaluate("document.activeElement.blur()")
        save(page.screenshot(), "page.webp")


# -- the terminal ---------------------------------------------------------------------------------


def recorded(library: Path) -> str:
    """Return what a search writes to a terminal that knows kitty's graphics."""
    own, its = pty.openpty()
    size = struct.pack("HHHH", ROWS, COLUMNS, COLUMNS * CELL[0], ROWS * CELL[1])
    fcntl.ioctl(its, termios.TIOCSWINSZ, size)
    search = command("search", QUERY, "-n", "8", "--preview=kitty", "--library", str(library))
    with subprocess.Popen(search, stdout=its, stderr=subprocess.DEVNULL):
        os.close(its)
        return b"".join(chunks(own)).decode()


def chunks(descriptor: int) -> Iterator[bytes]:
    """Yield what comes from a terminal until its program ends."""
    while True:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except OSError:  # how Linux tells the end of a terminal
            chunk = b""
        if not chunk:
            return os.close(descriptor)
        yield chunk


@dataclass
class Terminal:
    """As much of a terminal as `--preview=kitty` needs; `marks` are HTML."""

    row: int = 0
    column: int = 0
    saved: tuple[int, int] = (0, 0)
    data: str = ""
    size: str = ""
    marks: list[str] = field(default_factory=list)

    TOKEN = re.compile(
        r"\x1b_G(?P<keys>[^;]*);(?P<data>[^\x1b]*)\x1b\\"
        r"|\x1b\[(?P<count>\d*)(?P<move>[ABG])"
        r"|\x1b(?P<cursor>[78])|\x1b\]8;;[^\x1b]*\x1b\\|(?P<control>[\r\n])|(?P<text>[^\x1b\r\n]+)"
    )

    def write(self, said: str) -> None:
        for token in self.TOKEN.finditer(said):
            if token["data"] is not None:
                self.picture(token["keys"], token["data"])
            elif token["move"]:
                self.move(token["move"], int(token["count"] or 1))
            elif token["cursor"] == "7":
                self.saved = self.row, self.column
            elif token["cursor"] == "8":
                self.row, self.column = self.saved
            elif token["control"]:
                self.row, self.column = self.row + (token["control"] == "\n"), 0
            elif token["text"]:
                self.text(token["text"])

    def move(self, way: str, count: int) -> None:
        if way == "G":
            self.column = count - 1
        else:
            self.row += count if way == "B" else -count

    def text(self, text: str) -> None:
        self.marks.append(f"<pre style='{self.place}'>{html.escape(text)}</pre>")
        self.column += len(text)

    def picture(self, keys: str, data: str) -> None:
        """Add a part of a picture; put the picture on the page after the last part."""
        if sizes := re.search(r"c=(\d+),r=(\d+)", keys):
            width, height = int(sizes[1]) * CELL[0], int(sizes[2]) * CELL[1]
            self.size = f"width:{width}px;height:{height}px"
        self.data += data
        if "m=0" in keys:
            source = f"data:image/png;base64,{self.data}"
            self.marks.append(f"<img style='{self.place}{self.size}' src='{source}'>")
            self.data = ""

    @property
    def place(self) -> str:
        return f"left:{self.column * CELL[0]}px;top:{self.row * CELL[1]}px;"


STYLE = f"""
body {{ margin: 0; background: #fff }}
main {{ display: inline-block; background: #16181d; border-radius: 12px; padding: 16px 22px 6px }}
header {{ display: flex; gap: 8px; margin-bottom: 16px }}
header i {{ width: 12px; height: 12px; border-radius: 6px; background: #3d424d }}
div {{ position: relative; width: {COLUMNS * CELL[0]}px }}
pre, img {{ position: absolute; margin: 0 }}
pre {{ font: 16px/20px "DejaVu Sans Mono", monospace; color: #d6d9e0; letter-spacing: .367px }}
b {{ color: #8fc98b; font-weight: normal }}
"""


def draw_terminal(page: Page, library: Path) -> None:
    """Save what a search shows in a terminal."""
    terminal = Terminal(row=2)
    terminal.write(recorded(library))
    typed = f"<pre><b>$</b> retrieve search {QUERY} --preview</pre>"
    style = f"height:{(terminal.row + 1) * CELL[1]}px"
    inner = f"<div style='{style}'>{typed}{''.join(terminal.marks)}</div>"
    dots = "<header><i></i><i></i><i></i></header>"
    page.set_content(f"<style>{STYLE}</style><main>{dots}{inner}</main>")
    save(page.locator("main").screenshot(omit_background=True), "terminal.webp")


# -- both -----------------------------------------------------------------------------------------


def save(png: bytes, name: str) -> None:
    OUT.mkdir(exist_ok=True)
    Image.open(BytesIO(png)).save(OUT / name, quality=82, method=6)
    print(f"wrote {OUT / name} ({(OUT / name).stat().st_size / 1000:.0f} KB)")


@contextmanager
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    arguments = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        library = paint_library(Path(folder))
        draw_failures(library)
        look = {"viewport": {"width": 1180, "height": 760}, "device_scale_factor": 1.5}
        for draw in (draw_page, draw_terminal):  # each on a page of its own: the server's has a CSP
            draw(chromium.new_page(**look, color_scheme="light"), library)


if __name__ == "__main__":
    main()
