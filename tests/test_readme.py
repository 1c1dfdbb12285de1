"""The README says what the program says, and its Python runs.

`python tests/test_readme.py` writes the help texts into it anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

HELP = re.compile(r"```console\n\$ (retrieve(?: \w+)? --help)\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def run(command: str) -> str:
    """What a `retrieve` command prints in 80 columns, without an installed script."""
    program = "import sys; sys.argv[0] = 'retrieve'; from retrieval.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()[1:]],
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def commands() -> list[str]:
    """The names of all commands, from the program's own help."""
    listed = run("retrieve --help").partition("Commands:\n")[2]
    return re.findall(r"^  (\w+)", listed, re.MULTILINE)


def test_help_is_the_programs_own() -> None:
    shown = dict(HELP.findall(README.read_text()))
    expected = ["retrieve --help", *(f"retrieve {name} --help" for name in commands())]
    assert list(shown) == expected
    for command, text in shown.items():
        assert text == run(command), "run `python tests/test_readme.py` to write it anew"


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    if not (ROOT / "clipmodel/weights/tiny/vision.safetensors").exists():
        pytest.skip("the bundled model is not here")
    (tmp_path / "photos").mkdir()
    for name in ("red", "green", "blue"):
        Image.new("RGB", (320, 240), name).save(tmp_path / "photos" / f"{name}.jpg")
    code = "\n".join(PYTHON.findall(README.read_text()))
    assert "Library" in code
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "RETRIEVE_MODEL": "tiny",
            "RETRIEVE_LIBRARY": str(tmp_path / "library"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert ".jpg" in done.stdout


def test_links_lead_somewhere() -> None:
    for target in LINK.findall(README.read_text()):
        assert (ROOT / target).exists(), target


def refresh() -> None:
    """Put the help of the program as it is now into the README."""
    text = README.read_text()
    README.write_text(HELP.sub(lambda found: f"```console\n$ {found[1]}\n{run(found[1])}```", text))


if __name__ == "__main__":
    refresh()
