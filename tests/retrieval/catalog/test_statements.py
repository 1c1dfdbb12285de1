"""The catalog's statements: in the SQL that SQLite shares with others, and by its indexes."""

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import retrieval.catalog
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import chosen
from retrieval.filters import Filters
from tests.retrieval.small import paint_many, run_index

ROOM = Path(retrieval.catalog.__path__[0])
# What PostgreSQL has not, or calls otherwise. `sqlite/` is the room of what concerns one alone.
SQLITE_ONLY = re.compile(
    r"INDEXED BY|\b(?:instr|ifnull|iif|total|group_concat|unixepoch)\(|\?\d|\bGLOB\b|"
    r"sqlite_sequence|\browid\b|"
    r"\bAS (?:all|any|both|case|check|end|limit|offset|only|order|some|table|to|user)\b"  # reserved
)


def statements() -> Iterator[tuple[str, str]]:
    """Every string of the room that could be part of a statement, with its place."""
    for path in sorted(
        [*ROOM.glob("*.py"), *ROOM.glob("queries/*.py"), *ROOM.glob("recording/*.py")]
    ):
        tree = ast.parse(path.read_bytes())
        prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and id(node) not in prose:
                yield f"{path.name}:{node.lineno}", node.value


def test_statements_are_in_the_sql_that_is_shared() -> None:
    found = list(statements())
    assert len(found) > 200
    for place, statement in found:
        assert not SQLITE_ONLY.search(statement), place


@pytest.mark.parametrize(
    "statement", ["a INDEXED BY b", "instr(a, ?)", "ifnull(a, 0)", "a = ?1", "total(a)"]
)
def test_what_sqlite_alone_knows_is_recognised(statement: str) -> None:
    assert SQLITE_ONLY.search(statement)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    paint_many(tmp_path / "photos", 3)
    (tmp_path / "photos/bad.jpg").write_bytes(b"bad")
    with closing(Catalog.open(tmp_path / "library", create=True)) as opened:
        run_index(opened, [tmp_path / "photos"])
        yield opened


def plan(catalog: Catalog, ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> str:
    """How SQLite goes about what `ask` asks, a line a table."""
    asked: list[tuple[str, Any]] = []
    rows = catalog.rows

    def noted(statement: str, parameters: Any = ()) -> list[Any]:
        asked.append((statement, parameters))
        return rows(statement, parameters)

    with monkeypatch.context() as patch:
        patch.setattr(catalog, "rows", noted)
        ask()
    plans = [rows(f"EXPLAIN QUERY PLAN {statement}", values) for statement, values in asked]
    return "\n".join(step[-1] for steps in plans for step in steps)


def test_failures_are_found_by_their_index(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ask in (
        catalog.files.failure_count,
        lambda: list(catalog.files.failures()),
        lambda: catalog.files.too_large(5),
        catalog.files.refused,
    ):
        assert "INDEX failed_files" in plan(catalog, ask, monkeypatch)


def test_counting_reads_no_vectors_and_pages_are_sought(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = plan(catalog, lambda: catalog.embeddings.count(1), monkeypatch)
    assert "COVERING INDEX sqlite_autoindex_embeddings" in counted
    page = plan(catalog, lambda: list(catalog.embeddings.vectors(1)), monkeypatch)
    assert "SEARCH embeddings USING INDEX" in page and "TEMP B-TREE" not in page
    some = plan(catalog, lambda: catalog.embeddings.vectors_of(1, [1, 2]), monkeypatch)
    assert "(image_id=? AND model_id=? AND moment=?)" in some


def test_a_word_of_a_camera_means_itself(catalog: Catalog) -> None:
    put = "UPDATE shots SET camera = ? WHERE image_id = ?"
    with catalog.transaction() as connection:
        for id, camera in enumerate(("Canon EOS", "100% Box_2", "Nikon's"), 1):
            connection.exec_driver_sql(put, (camera, id))

    def found(camera: str) -> list[int]:
        ids = chosen(catalog, Filters(camera=camera))
        assert ids is not None
        return list(ids)

    assert found("canon") == found("EOS Canon") == [1]
    assert found("%") == found("x_2") == found("100%") == [2]
    assert found("'") == [3] and found("c%n") == found("x" * 100_000) == []
