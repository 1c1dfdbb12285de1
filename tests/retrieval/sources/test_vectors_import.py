"""Vectors of clip-retrieval: imported without decoding, searchable, and kept by later runs."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval import Library
from retrieval.catalog.reading import Catalog
from retrieval.collection.check import check
from retrieval.errors import InvalidValue, ModelMismatch, PathNotFound
from retrieval.indexing.elsewhere.vectors_import import Imported, run
from tests.retrieval.cli.test_cli import ok
from tests.retrieval.conftest import Models
from tests.retrieval.small import (
    DIM,
    as_counts,
    contents,
    paint,
    run_index,
    small_model,
    small_query_bank,
)

parquet = pytest.importorskip("pyarrow.parquet")


def inference(folder: Path, rows: list[dict[str, Any]], number: int = 0, dim: int = DIM) -> Path:
    """Write what `clip inference` does for these pictures."""
    import pyarrow

    (folder / "img_emb").mkdir(parents=True, exist_ok=True)
    (folder / "metadata").mkdir(exist_ok=True)
    vectors = np.random.default_rng(number).normal(size=(len(rows), dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / f"img_emb/img_emb_{number}.npy", vectors.astype(np.float16))
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / f"metadata/metadata_{number}.parquet")
    return folder


@pytest.fixture
def output(base: Path) -> Path:
    own = paint(base / "photos/a.png", 1)
    rows = [
        {"image_path": str(own), "caption": "mine", "url": None, "width": 40, "height": 30},
        {"image_path": "000001", "caption": "a key", "url": "https://e.example/1.jpg"},
        {"image_path": "000002", "caption": None, "url": None},
        {"image_path": "", "caption": "nothing", "url": None},
    ]
    inference(base / "out", rows)
    return inference(base / "out", [{"image_path": "gone/x.jpg", "caption": "c"}], 1)


def test_rows_become_images_with_vectors(catalog: Catalog, output: Path, base: Path) -> None:
    done = run(catalog, output, small_model(), small_query_bank)
    assert done == Imported(4, 1, 1)
    assert catalog.counts().embedded == catalog.counts().images == 4
    paths = {
        str(path) for image in catalog.images.by_id(range(1, 5)).values() for path in image.paths
    }
    assert paths == {
        str(base / "photos/a.png"),
        "https://e.example/1.jpg",
        str(output / "metadata/metadata_0.parquet/000002"),
        str(output / "metadata/metadata_1.parquet/gone/x.jpg"),
    }
    model = catalog.current_model()
    assert model is not None
    vectors = np.load(output / "img_emb/img_emb_0.npy")
    held = catalog.embeddings.vector(model.id, 1)
    assert held is not None and np.abs(held - vectors[0]).max() < 1e-3
    assert [each.text for each in catalog.images.wordings(1)] == ["mine"]
    assert check(catalog.place, repair=False) == []


def test_numbers_that_are_none_stand_for_nothing(catalog: Catalog, base: Path) -> None:
    import pyarrow

    for name in ("img_emb", "metadata"):
        (base / "out" / name).mkdir(parents=True)
    np.save(base / "out/img_emb/img_emb_0.npy", np.eye(3, DIM, dtype=np.float16))
    infinite, none = float("inf"), float("nan")
    columns = {"url": ["http://a.example/1.jpg", "http://a.example/2.jpg", None]}
    columns |= {"width": [infinite, 2.0**62, 5.0], "height": [none, -1.0, 5.0]}
    table = pyarrow.table({**columns, "image_path": [none] * 3})
    parquet.write_table(table, base / "out/metadata/metadata_0.parquet")
    found = run(catalog, base / "out", small_model())
    assert (found.rows, found.without) == (2, 1)
    assert {(each.width, each.height) for each in catalog.images.by_id([1, 2]).values()} == {(1, 1)}


def test_later_runs_leave_them_as_they_are(catalog: Catalog, output: Path, base: Path) -> None:
    run(catalog, output, small_model(), small_query_bank)
    before = contents(catalog)
    assert as_counts(run_index(catalog, [])) == {"unchanged": 4}
    assert as_counts(run_index(catalog, [base / "photos"])) == {"unchanged": 1}
    assert run(catalog, output, small_model(), small_query_bank).rows == 4
    assert contents(catalog) == before
    shutil.rmtree(output)
    run_index(catalog, [])
    assert contents(catalog) == before


def test_what_does_not_fit_is_refused_before_anything_is_written(
    catalog: Catalog, output: Path, base: Path
) -> None:
    vectors = output / "img_emb/img_emb_1.npy"
    with pytest.raises(PathNotFound, match="img_emb"):
        run(catalog, base, small_model())
    inference(base / "other", [{"image_path": "a"}], dim=DIM + 1)
    with pytest.raises(ModelMismatch, match="dimensions"):
        run(catalog, base / "other", small_model())
    for array, said in (
        (np.full((1, DIM), 3, np.float32), "length"),
        (np.full((1, DIM), np.nan, np.float32), "length"),
        (np.zeros((2, DIM, 1), np.float32), "not vectors"),
        (np.eye(DIM, dtype=np.float32)[:2], "1 rows"),
    ):
        np.save(vectors, array)
        with pytest.raises(InvalidValue, match=said):
            run(catalog, output, small_model())
    vectors.write_bytes(b"\x93NUMPY")
    with pytest.raises(InvalidValue, match="cannot be read"):
        run(catalog, output, small_model())
    (output / "metadata/metadata_1.parquet").unlink()
    with pytest.raises(PathNotFound, match="missing"):
        run(catalog, output, small_model())
    assert catalog.images.count() == 0 and catalog.roots() == []


def test_a_library_of_another_model_is_left_alone(
    catalog: Catalog, output: Path, base: Path
) -> None:
    paint(base / "b.png", 3)
    run_index(catalog, [base / "b.png"])
    with pytest.raises(ModelMismatch, match="holds 'small'"):
        run(catalog, output, small_model("other"))


def test_in_python_and_on_the_command_line(home: Path, models: Models) -> None:
    rows = [{"image_path": f"{number}", "caption": "c", "url": None} for number in range(3)]
    inference(home / "out", rows, dim=24)
    with Library.open(home / "own") as library:
        done = library.import_vectors(home / "out", model=models.small)
        assert (done.rows, done.files, done.without) == (3, 0, 0)
        assert len(library.search("a red car")) == 3
        with pytest.raises(ModelMismatch, match="small' embeddings, not"):
            library.import_vectors(home / "out", model=models.other)
    said = ok("import", "out", "--model", models.small)
    assert said == "imported 3 vectors, 0 files of them here\n"
    assert len(ok("search", "a red car", "--paths").splitlines()) == 3
