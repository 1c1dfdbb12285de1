"""Who may import whom, read from the imports; and what an import must not bring along."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the ground up, a line a room (a package, or a module beside them): it imports only rooms of
# lines above its own, and its neighbours in the same line. What it does not import is left out.
ROOMS = [
    "errors interrupted records address paths locate exclusions spelling notices values wording",
    "filters models decoding sources",  # what is asked for, what encodes it, bytes to pixels
    "catalog",  # what is known; the only SQL
    "vectors",  # nearest ids
    "search indexing collection",  # the read path, the write path, the library as a whole
    "evaluation",  # which model finds more
    "library",  # the public face of all of them
    "output watch",  # what people and programs are shown; what keeps a library up to date
    "web",  # the server and its page
    "cli",  # arguments in, answers out
]
# The only rooms that know of the outside.
OUTSIDE = {
    "sqlite3": {"catalog"},
    "sqlalchemy": {"catalog"},
    "psycopg": {"catalog"},  # and there in catalog/postgresql alone
    "pymilvus": {"vectors"},
    "milvus_lite": {"vectors"},
    "grpc": {"vectors"},
    "indexes": {"vectors", "collection", "cli"},  # cli reads an index file ahead, collection checks
    "clipmodel": {
        *(
            "errors",
            "models",
            "decoding",
            "catalog",
            "vectors",
            "search",
            "indexing",
            "library",
            "evaluation",
        ),
        *("web", "cli"),
    },
    "click": {"cli"},
    "fastapi": {"web"},
    "uvicorn": {"web"},
    "watchfiles": {"watch"},
    "fsspec": {"sources"},
    "s3fs": {"sources"},
    "ray": {"indexing"},
}


def room_of(path: Path) -> str:
    """The package below `retrieval`, or the module beside the packages."""
    return path.relative_to(ROOT / "retrieval").with_suffix("").parts[0]


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


def test_rooms_import_only_rooms_below_them() -> None:
    floor = {room: number for number, line in enumerate(ROOMS) for room in line.split()}
    for path in modules("retrieval"):
        room = room_of(path)
        if room == "__init__":
            continue
        assert room in floor, f"{path} is in a room that this test does not know"
        for name in imported(path):
            other = name.split(".")[1] if name.startswith("retrieval.") else None
            if other in floor:
                assert floor[other] <= floor[room], f"{path} imports {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    paths = modules("retrieval") + modules("indexes")
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    graph = {name: set(imported(path)) & names.keys() - {name} for name, path in names.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_the_name_of_a_class_means_one_thing() -> None:
    owners: dict[str, Path] = {}
    for path in modules("retrieval"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef):
                assert node.name not in owners, f"{node.name}: {path}, {owners[node.name]}"
                owners[node.name] = path


def test_only_its_command_knows_the_server() -> None:
    for path in modules("retrieval"):
        if any(name.startswith("retrieval.web") for name in imported(path)):
            assert room_of(path) == "web" or path.name == "serve.py", path


@pytest.mark.parametrize("package", sorted(OUTSIDE))
def test_few_rooms_know_of_the_outside(package: str) -> None:
    for path in modules("retrieval"):
        if room_of(path) not in OUTSIDE[package]:
            assert package not in packages(path), path


def test_only_its_engine_knows_postgresql() -> None:
    for path in modules("retrieval"):
        if "psycopg" in packages(path):
            assert path.parent.name == "postgresql", path


def test_a_package_says_what_happens_in_it_and_no_more() -> None:
    for path in modules("retrieval"):
        if path.name == "__init__.py" and path.parent != ROOT / "retrieval":
            [docstring] = ast.parse(path.read_bytes()).body
            assert isinstance(docstring, ast.Expr), path


def test_the_application_leaves_torch_to_the_models() -> None:
    for path in modules("retrieval"):
        assert not packages(path) & {"torch", "torchvision"}, path


def loaded_by(statement: str) -> set[str]:
    """What is imported after `statement`, in a process of its own."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    return set(run.stdout.decode().split())


def test_importing_the_package_costs_nothing() -> None:
    heavy = {"torch", "faiss", "sqlalchemy", "numpy", "PIL", "click", "ray"}
    assert not loaded_by("import retrieval") & heavy


def test_help_is_instant() -> None:
    heavy = {"torch", "faiss", "sqlalchemy", "numpy", "PIL", "tqdm", "filelock", "platformdirs"}
    heavy |= {"fastapi", "uvicorn", "watchfiles", "pydantic", "ray"}
    assert not loaded_by("import retrieval.cli.main") & heavy


def test_a_worker_process_imports_little() -> None:
    heavy = {"torch", "faiss", "sqlalchemy", "click", "tqdm"}
    assert (
        not loaded_by("import retrieval.decoding.worker_process, retrieval.decoding.decode") & heavy
    )


def test_every_exported_name_is_there() -> None:
    import retrieval

    assert set(retrieval.__all__) <= set(dir(retrieval))
    for name in retrieval.__all__:
        assert getattr(retrieval, name) is not None
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = retrieval.nothing_of_the_kind
