"""Who may import whom, read from the imports; and what an import must not bring along."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Each stage may import those above it, and its neighbours in the same line.
STAGES = [
    "errors bounds records paths exclusions spelling copy_names relevance malloc medium pool",
    "difference_hash standing scan exif decode lock database onlooker locate filters templates",
    "addresses fetch tags fonts graphics notices nearness stars presence hints",
    "language query terminal",
    "thumbnails",
    "catalog schema transactions",
    "encoders",
    "whereabouts",
    "survey targets task worker_main worker workers intake recorder refill index_file models",
    "selection duplicates export",
    "browse",
    "indexer embed search",
    "salvage",
    "status check ask backup",
    "library",
    "output report pictures page sheet preview watch",
    "program demo",
    "completion",
    "cli_pictures cli_search cli_collection cli_server",
    "cli",
]
# The only ones that know of models and of nearest neighbours.
OUTSIDE = {
    "clipmodel": {
        "completion", "decode", "embed", "encoders", "indexer", "library", "models", "program",
        "demo", "lock", "recorder", "refill", "standing",
    },
    "indexes": {"check", "index_file", "program", "search", "status"},
    "sqlalchemy": {"catalog", "schema", "transactions"},
    "click": {
        "cli", "cli_collection", "cli_pictures", "cli_search", "cli_server", "completion",
        "program",
    },
    "watchfiles": {"watch"},
}  # fmt: skip


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it; those for type checkers alone as well."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("package", ["clipmodel", "indexes"])
def test_models_and_indexes_know_nothing_of_ours(package: str) -> None:
    ours = {"clipmodel", "indexes", "retrieval"} - {package}
    for path in modules(package):
        assert not packages(path) & ours, path


def test_indexes_know_no_pictures_and_no_catalogs() -> None:
    for path in modules("indexes"):
        assert not packages(path) & {"torch", "PIL", "sqlite3", "sqlalchemy"}, path


def test_the_application_is_layered() -> None:
    stage = {name: number for number, names in enumerate(STAGES) for name in names.split()}
    for path in modules("retrieval"):
        if path.stem == "__init__" or path.parent.name == "web":
            continue
        assert path.stem in stage, f"{path.stem} has no place among the stages of this test"
        for name in imported(path):
            above = name.split(".")[1] if name.startswith("retrieval.") else None
            if above in stage:
                assert stage[above] <= stage[path.stem], f"{path.stem} imports {above}"


def test_the_server_stands_on_all_the_rest_and_only_its_command_knows_it() -> None:
    for path in modules("retrieval"):
        names = set(imported(path))
        if path.parent.name == "web":
            assert not {"retrieval.cli", "click", "sqlalchemy", "PIL"} & names, path
        else:
            assert "fastapi" not in packages(path), path
            is_used = any(name.startswith("retrieval.web") for name in names)
            assert is_used == (path.stem == "cli_server"), path


@pytest.mark.parametrize("package", sorted(OUTSIDE))
def test_few_know_of_the_outside(package: str) -> None:
    for path in modules("retrieval"):
        if path.parent.name != "web" and path.stem not in OUTSIDE[package]:
            assert package not in packages(path), path


def test_the_application_leaves_torch_to_the_models() -> None:
    for path in modules("retrieval"):
        assert not packages(path) & {"torch", "torchvision"}, path


def loaded_by(statement: str) -> set[str]:
    """What is imported after `statement`, in a process of its own."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    return set(run.stdout.decode().split())


def test_importing_the_package_costs_nothing() -> None:
    heavy = {"torch", "faiss", "sqlalchemy", "numpy", "PIL", "click"}
    assert not loaded_by("import retrieval") & heavy


def test_help_is_instant() -> None:
    heavy = {"torch", "faiss", "sqlalchemy", "numpy", "PIL", "tqdm", "filelock", "platformdirs"}
    heavy |= {"fastapi", "uvicorn", "watchfiles", "pydantic"}
    assert not loaded_by("import retrieval.cli") & heavy


def test_a_worker_process_imports_little() -> None:
    heavy = {"torch", "faiss", "sqlalchemy", "click", "tqdm"}
    assert not loaded_by("import retrieval.worker_main, retrieval.decode") & heavy


def test_every_exported_name_is_there() -> None:
    import retrieval

    assert set(retrieval.__all__) <= set(dir(retrieval))
    for name in retrieval.__all__:
        assert getattr(retrieval, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = retrieval.nothing_of_the_kind
