"""How long modules and functions are, and how full folders: what can be read in one sitting."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PACKAGES = ("clipmodel", "indexes", "retrieval", "benchmarks")

MAX_MODULE = 350  # lines
MAX_FUNCTION = 50
P90_FUNCTION = 18
MAX_FOLDER = 15  # modules, its __init__ left out


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's place and its lines, docstring included.

    Decorators are left out: those of a command are its options, a table.
    """
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield place, node.end_lineno - node.lineno + 1


def test_modules_are_short() -> None:
    lines = {str(path.relative_to(ROOT)): path.read_bytes().count(b"\n") for path in modules()}
    assert not {name: count for name, count in lines.items() if count > MAX_MODULE}


def test_functions_are_short() -> None:
    lengths = dict(each for path in modules() for each in functions(path))
    assert not {place: count for place, count in lengths.items() if count > MAX_FUNCTION}
    assert np.percentile(list(lengths.values()), 90) <= P90_FUNCTION


def test_folders_are_not_full() -> None:
    held = [path for path in modules() if path.stem != "__init__"]
    counts = Counter(path.parent.relative_to(ROOT).as_posix() for path in held)
    assert not {folder: count for folder, count in counts.items() if count > MAX_FOLDER}
