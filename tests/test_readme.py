"""README and docs/ say what the program says, and their examples run.

`python tests/test_readme.py` writes the help texts in docs/cli.md again.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README, CLI = ROOT / "README.md", ROOT / "docs/cli.md"
DOCS = [README, *sorted((ROOT / "docs").glob("*.md"))]
PROSE = [*DOCS, ROOT / "tests/README.md", ROOT / "benchmarks/README.md"]
LONGEST = 350  # lines of the README

HELP = re.compile(r"```console\n\$ (retrieve(?: \w+)? --help)\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^):]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
PROGRAM = "import sys; sys.argv[0] = 'retrieve'; from retrieval.cli.main import main; main()"


def run(command: str) -> str:
    """Return what a `retrieve` command prints in 80 columns, of which click leaves two free."""
    from click.testing import CliRunner

    from retrieval.cli.main import cli

    name, *arguments = command.split()
    done = CliRunner().invoke(
        cli, arguments, env={"NO_COLOR": "1"}, prog_name=name, terminal_width=78
    )
    assert done.exit_code == 0, done.output
    return done.stdout


def commands() -> list[str]:
    """Return the names of all commands, from the program's own help."""
    listed = run("retrieve --help").partition("Commands:\n")[2]
    return re.findall(r"^  (\w+)", listed, re.MULTILINE)


def shell_lines(document: Path) -> Iterator[str]:
    """Yield the example commands of a document, with those in its help texts."""
    text = document.read_text()
    for block in SHELL.findall(text):
        yield from block.splitlines()
    for _, shown in HELP.findall(text):
        yield from (line[2:] for line in shown.splitlines() if line.startswith("  retrieve "))


def test_help_is_the_programs_own() -> None:
    shown = dict(HELP.findall(CLI.read_text()))
    expected = ["retrieve --help", *(f"retrieve {name} --help" for name in commands())]
    assert list(shown) == expected
    for command, text in shown.items():
        assert text == run(command), "run `python tests/test_readme.py` to write it again"


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) < LONGEST


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_commands_have_these_options(document: Path) -> None:
    from retrieval.cli.main import cli

    for line in shell_lines(document):
        line = re.sub(r"  .*", "", re.sub(r"\$\(.*?\)", "X", line))
        words = shlex.split(line, comments=True)
        if words[:1] != ["retrieve"] or "--help" in words:
            continue
        words = words[1 : next((i for i, word in enumerate(words) if word in "|;"), None)]
        command = cli.commands[words[0]]
        with cli.make_context("retrieve", list(words), resilient_parsing=True) as parent:
            command.make_context(words[0], words[1:], parent).close()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a library of its own, where the examples find the files that they name."""
    from PIL import Image

    if not (ROOT / "clipmodel/weights/tiny-2/vision.safetensors").exists():
        pytest.skip("the bundled model is not here")
    (tmp_path / "photos/holiday").mkdir(parents=True)
    for name in ("red", "green", "blue"):
        Image.new("RGB", (320, 240), name).save(tmp_path / "photos/holiday" / f"{name}.jpg")
    for name in ("pool", "beach"):
        Image.new("RGB", (64, 48), "navy").save(tmp_path / f"{name}.jpg")
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    library = {"RETRIEVE_MODEL": "tiny", "RETRIEVE_LIBRARY": str(folder / "library")}
    return {**os.environ, "PYTHONPATH": str(ROOT), **library}


def test_python_runs(photos: Path) -> None:
    code = "\n".join(PYTHON.findall(README.read_text()))
    assert "Library" in code
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=photos,
        env=environment(photos),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert ".jpg" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize("document", [README, ROOT / "docs/query.md"], ids=lambda path: path.name)
def test_searches_run(document: Path, photos: Path) -> None:
    lines = [line for line in shell_lines(document) if line.startswith("retrieve search")]
    assert len(lines) >= 5
    program = f'retrieve() {{ {shlex.quote(sys.executable)} -c "{PROGRAM}" "$@"; }}'
    script = "\n".join(("set -e -o pipefail", program, "retrieve index photos", *lines))
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=photos,
        env=environment(photos),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("red.jpg") >= len(lines) // 2


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    titles = HEADING.findall(document.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def refresh() -> None:
    """Put the help of the program as it is now into docs/cli.md."""
    text = CLI.read_text()
    CLI.write_text(HELP.sub(lambda found: f"```console\n$ {found[1]}\n{run(found[1])}```", text))


if __name__ == "__main__":
    refresh()
