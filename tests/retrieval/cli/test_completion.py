"""Completion as people have it: the printed script in a real shell, keys typed, a line run."""

import os
import pty
import select
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from retrieval.catalog.reading import Catalog
from retrieval.locate import FILE_NAME
from tests.retrieval.cli.test_cli import ROOT, ok, refused
from tests.retrieval.conftest import paint
from tests.retrieval.small import run_index

pytestmark = pytest.mark.usefixtures("home")

WORST = 4 * 60  # seconds until a test gives up

START = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
LOAD = {
    "bash": 'eval "$(retrieve completion bash)"',
    "zsh": 'autoload -Uz compinit; compinit -u; eval "$(retrieve completion zsh)"',
    "fish": "retrieve completion fish | source",
}
TYPED = {  # what `retrieve` is then run with
    "sea\tx": ["search", "x"],
    "search x --orientation lan\t": ["search", "x", "--orientation", "landscape"],
    "search x --orientation=lan\t": ["search", "x", "--orientation=landscape"],
    "search x --preview=kit\t": ["search", "x", "--preview=kitty"],
    "search x --sort da\t": ["search", "x", "--sort", "date"],
    "search x --form\tpn\t": ["search", "x", "--format", "png"],
    "search x --camera pix\t": ["search", "x", "--camera", "Google Pixel 8 (main)"],
    "search x --in hol\t": ["search", "x", "--in", "holiday in Rome"],
    "search x --in it\t": ["search", "x", "--in", "it's $HOME"],
    "search x --in 2023\t": ["search", "x", "--in", "2023,1*"],
    "search x --in ./my\t": ["search", "x", "--in", "./my photos"],
    "search --preview ./my\t": ["search", "--preview", "./my photos"],
    "index --model RN50x6\t": ["index", "--model", "RN50x64"],
    "similar my\t": ["similar", "my photos"],
    "completion z\t": ["completion", "zsh"],
}


@pytest.fixture
def library(home: Path) -> Path:
    """With folders, cameras and formats, of which some have no easy names."""
    for seed, name in enumerate(
        ["holiday in Rome/beach", "it's $HOME", "2023,1*", "b\udcff", "\n"]
    ):
        paint(home / "my photos" / name / "red.png", "red", seed)
    with closing(Catalog.open(home / "library", create=True)) as catalog:
        run_index(catalog, [home / "my photos"])
    with closing(sqlite3.connect(home / "library" / FILE_NAME)) as connection, connection:
        shots = "INSERT OR REPLACE INTO shots (image_id, camera) VALUES (?, ?)"
        connection.executemany(shots, [(1, "Google Pixel 8 (main)"), (2, "Canon EOS 5D")])
    return home / "library"


@pytest.fixture
def program(home: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`retrieve` on the path: it prints scripts and completes, and says so in the file `asked`
    beside this one, to which it appends what else it is run with.
    """
    runs, script = home / "runs", home / "bin" / "retrieve"
    script.parent.mkdir()
    script.write_text(f"""#!/bin/sh
if [ -n "$_RETRIEVE_COMPLETE" ] || [ "$1 $2" = "completion $LOADING" ]; then
    {sys.executable} -m retrieval.cli.main "$@"
    exec echo >> {home / "asked"}
fi
(printf '<%s>' "$@"; echo) >> {runs}
""")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RETRIEVE_LIBRARY", str(library))
    monkeypatch.setenv("TERM", "xterm")
    return runs


class Shell:
    """One with a person at its keyboard, who waits for it."""

    def __init__(self, name: str, asked: Path) -> None:
        self._asked = asked
        self._terminal, side = pty.openpty()
        self._process = subprocess.Popen(
            START[name], stdin=side, stdout=side, stderr=side, start_new_session=True
        )
        os.close(side)
        self._seen = b""
        self.enter(f"LOADING={name}; export LOADING; {LOAD[name]}; LOADING=; PS1='REA''DY '")

    def enter(self, keys: str) -> None:
        """Types, waits for what each tab brings, and for the next prompt."""
        *parts, last = keys.split("\t")
        for part in parts:
            answers = self._answers()
            os.write(self._terminal, f"{part}\t".encode())
            self._wait(lambda answers=answers: self._answers() > answers)  # type: ignore[misc]
        prompts = self._seen.count(b"READY ")
        os.write(self._terminal, f"{last}\n".encode())
        self._wait(lambda: self._seen.count(b"READY ") > prompts)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def _answers(self) -> int:
        return self._asked.stat().st_size if self._asked.exists() else 0

    def _wait(self, until: Callable[[], bool]) -> None:
        end = time.monotonic() + WORST
        while not until():
            if time.monotonic() > end:
                pytest.fail(f"the shell does not get on: {self._seen[-2000:]!r}")
            if select.select([self._terminal], [], [], 0.05)[0]:
                self._seen += os.read(self._terminal, 65536)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_keys_typed_into_a_shell(program: Path, shell: str) -> None:
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not here")
    with closing(Shell(shell, program.with_name("asked"))) as opened:
        for keys in TYPED:
            opened.enter(f"retrieve {keys}")
    runs = [line.strip("</>").split("><") for line in program.read_text().splitlines()]
    assert dict(zip(TYPED, runs, strict=True)) == TYPED


def test_fish(program: Path) -> None:
    if not shutil.which("fish"):
        pytest.skip("fish is not here")
    asked = "; ".join(f"complete -C 'retrieve {line}'; echo @@" for line in (
        "sea", "search x --orientation lan", "search x --preview=kit", "search x --camera pix",
        "search x --in hol", "index --model RN50x6", "similar my",
    ))  # fmt: skip
    said = subprocess.run(
        ["fish", "-c", f"LOADING=fish {LOAD['fish']}; {asked}"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    offered = [answer.split("\t")[0].split("\n")[0] for answer in said.split("@@\n")[:-1]]
    assert offered == [
        "search", "landscape", "--preview=kitty", "Google Pixel 8 (main)",
        "holiday in Rome", "RN50x64", "my photos/",
    ]  # fmt: skip


# -- what is offered -----------------------------------------------------------------------------


def offered(*words: str, **environment: str) -> tuple[list[str], set[str]]:
    """In zsh's form, and what was imported on the way."""
    code = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
    code += "from retrieval.cli.main import main; main()"
    asked = {"COMP_WORDS": "\n".join(["retrieve", *words]), "COMP_CWORD": str(len(words))}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT), "_RETRIEVE_COMPLETE": "zsh_complete"}
        | asked
        | environment,
        capture_output=True,
        check=True,
    )
    lines = run.stdout.decode().splitlines()
    assert "Traceback" not in run.stderr.decode()
    return lines[1::3] if lines else [], set(run.stderr.decode().split())


def test_all_folders_cameras_and_formats(library: Path) -> None:
    here = {"RETRIEVE_LIBRARY": str(library)}
    assert offered("search", "--in", "", **here)[0] == [
        "2023,1*", "beach", "holiday in Rome", "it's $HOME", "my photos",
    ]  # fmt: skip
    assert offered("search", "--camera", "", **here)[0] == ["Canon EOS 5D", "Google Pixel 8 (main)"]
    assert offered("duplicates", "--format", "", **here)[0] == ["png"]
    assert offered("--library", str(library), "search", "--camera", "eos")[0] == ["Canon EOS 5D"]
    assert "tiny" in offered("index", "--model", "")[0]


def test_it_reads_and_is_quick(library: Path) -> None:
    before = {path: path.read_bytes() for path in library.iterdir()}
    for words in (["search", "--in", ""], ["search", "--camera", ""], ["index", "--model", ""]):
        _, modules = offered(*words, RETRIEVE_LIBRARY=str(library))
        assert not modules & {"torch", "faiss", "sqlalchemy", "PIL", "retrieval.library"}
    assert {path: path.read_bytes() for path in library.iterdir()} == before


@pytest.mark.parametrize("harm", ["none", "empty", "damaged", "old"])
def test_a_library_that_cannot_be_read_offers_nothing(home: Path, harm: str) -> None:
    catalog = home / "broken" / FILE_NAME
    if harm != "none":
        catalog.parent.mkdir()
        catalog.write_bytes(b"no catalog" * 1000 if harm == "damaged" else b"")
    if harm == "old":
        with closing(sqlite3.connect(catalog)) as connection:
            connection.execute("PRAGMA user_version = 1")
    for option in ("--camera", "--format"):
        assert offered("search", option, "", RETRIEVE_LIBRARY=str(home / "broken"))[0] == []
    assert catalog.exists() == (harm != "none")


def test_the_script_and_mistakes() -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_RETRIEVE_COMPLETE" in ok("completion", shell)
    assert "bash" in refused("completion", "tcsh", code=2)
