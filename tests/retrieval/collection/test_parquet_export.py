"""An export to parquet: every vector with its facts, and files that other programs read."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.reading import Catalog
from retrieval.collection import parquet_export
from retrieval.collection.export import export
from retrieval.errors import InvalidValue, SourceUnavailable
from tests.retrieval.small import paint, paint_many, run_index

parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def filled(base: Path) -> Iterator[Catalog]:
    paint_many(base / "photos", 5)
    paint(base / "photos/again.png", 0)
    paint(base / "photos" / "IMG_20230601_123000.jpg", 7)
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        run_index(catalog, [base / "photos"])
        yield catalog


def test_every_vector_is_a_row(filled: Catalog, base: Path) -> None:
    model = filled.current_model()
    assert model is not None
    done = export(filled, model, base / "out", "parquet")
    assert done.count == 6 and [file.name for file in done.files] == ["images-00000.parquet"]
    table = parquet.read_table(done.files[0])
    assert set(table.column_names) == {*parquet_export.KINDS, "vector"}
    assert table.schema.metadata[b"model"] == b"small"
    vectors = np.array(table["vector"].to_pylist(), np.float32)
    assert np.abs(np.linalg.norm(vectors.astype(np.float64), axis=1) - 1).max() < 1e-6
    for row, vector in zip(table.to_pylist(), vectors, strict=True):
        held = filled.embeddings.vector(model.id, row["id"])
        assert held is not None and np.abs(held - vector).max() < 1e-3
        assert Path(row["path"]).exists() and row["width"] == 40
    rows = {Path(row["path"]).name: row for row in table.to_pylist()}
    assert rows["IMG_20230601_123000.jpg"]["taken_at"] == "2023-06-01T12:30:00"
    assert sum(row["copies"] for row in rows.values()) == 1


def test_pandas_reads_it(filled: Catalog, base: Path) -> None:
    pandas = pytest.importorskip("pandas")
    model = filled.current_model()
    assert model is not None
    [file] = export(filled, model, base / "out", "parquet").files
    frame = pandas.read_parquet(file)
    assert len(frame) == 6 and len(frame["vector"][0]) == model.dim


def test_many_rows_are_several_files(
    filled: Catalog, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = filled.current_model()
    assert model is not None
    monkeypatch.setattr(parquet_export, "ROWS_A_FILE", 4)
    pages = filled.embeddings.vectors
    monkeypatch.setattr(filled.embeddings, "vectors", lambda id: pages(id, batch=2))
    done = export(filled, model, base / "out", "parquet")
    assert [parquet.read_table(file).num_rows for file in done.files] == [4, 2]
    monkeypatch.undo()
    export(filled, model, base / "out", "parquet")
    assert len(list((base / "out").iterdir())) == 1


def test_mistakes_are_one_line(
    filled: Catalog, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    model = filled.current_model()
    assert model is not None
    with pytest.raises(InvalidValue, match="npy, parquet"):
        export(filled, model, base / "out", "xml")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceUnavailable, match=r'pip install ".\[cluster\]"'):
        export(filled, model, base / "out", "parquet")
