"""What a query bank tells of pictures: measured once, exact in the scan, filled in later."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.harness.inputs import PictureLike
from clipmodel.pretrained import resolve
from indexes import IndexSpec, VectorIndex
from indexes.recall import recall, text_like
from retrieval.catalog import writing
from retrieval.catalog.reading import Catalog
from retrieval.catalog.selection import Selection
from retrieval.indexing.run import index
from retrieval.locate import Place
from retrieval.records import ModelRecord, Summary
from retrieval.vectors import file_store, index_file
from retrieval.vectors.file_store import FileStore
from retrieval.vectors.hubness import (
    HUBNESS_WEIGHT,
    PADDING_COLUMNS,
    QUERY_BANK_FILE,
    QUERY_PADDING,
    QueryBank,
    is_measured,
    query_bank_digest,
    with_hubness,
    with_weights,
)
from retrieval.vectors.nearest import OpenStore, Searcher
from retrieval.vectors.opening import choose, open_store
from retrieval.vectors.store import Nearest, VectorStore
from tests.retrieval import small
from tests.retrieval.small import SmallEncoder, paint_many, small_model
from tests.retrieval.vectors.test_nearest import DIM, Filled, unit

pytestmark = pytest.mark.databases("sqlite", "postgresql")
QUERY_BANK = QueryBank(unit(np.random.default_rng(7).standard_normal((30, DIM)) + 0.5))


@pytest.fixture
def filled(place: Place, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filled]:
    monkeypatch.setattr(file_store, "SMALL_FILE_BYTES", 0)  # bytes: no file is too small to be used
    (base / "pictures").mkdir()
    filled = Filled(place, base / "pictures", query_bank=QUERY_BANK)
    with closing(filled.catalog):
        yield filled


def best(
    filled: Filled, query: NDArray[np.float32], weight: float, ids: NDArray[np.int64]
) -> list[int]:
    """By brute force: cosines less a weight of mean and deviation of those to the sentences."""
    left = {}
    for id in ids.tolist():
        cosines = QUERY_BANK.vectors @ filled.by_id[id]
        left[id] = float(query @ filled.by_id[id]) - weight * float(cosines.mean() + cosines.std())
    return sorted(left, key=lambda id: -left[id])


class CosinesOnly:
    """A store as of another engine: it ranks by cosines, then again by what the catalog knows."""

    is_exact = True

    def __init__(self, catalog: Catalog, model: ModelRecord) -> None:
        self._catalog, self._model = catalog, model

    def prepare(self) -> None: ...

    def refresh(self) -> None: ...

    def distrust(self) -> None: ...

    def close(self) -> None: ...

    def count(self, allowed: Selection, most: int) -> int:
        return min(len(allowed.ids), most)

    def search(
        self,
        queries: NDArray[np.float32],
        limit: int,
        allowed: Selection | None,
        weights: NDArray[np.float32],
    ) -> Nearest:
        [(ids, vectors)] = self._catalog.embeddings.vectors(self._model.id)
        if allowed is not None:
            ids, vectors = ids[np.isin(ids, allowed.ids)], vectors[np.isin(ids, allowed.ids)]
        found = np.argsort(-(queries @ vectors.astype(np.float32).T), axis=1)[:, : 20 * limit]
        known = self._catalog.embeddings.hubness(self._model.id, ids.tolist())
        hubness = np.array([known[id] for id in ids.tolist()], np.float32)
        scores = queries @ vectors.astype(np.float32).T - weights[:, np.newaxis] * hubness
        scores = np.take_along_axis(scores, found, axis=1)
        order = np.argsort(-scores, axis=1)[:, :limit]
        return Nearest(
            np.take_along_axis(scores, order, axis=1),
            ids[np.take_along_axis(found, order, axis=1)],
        )


def open_milvus(catalog: Catalog, model: ModelRecord) -> VectorStore:
    store = open_store(catalog, model)
    store.refresh()
    return store


@pytest.mark.parametrize("store", [FileStore, CosinesOnly, open_milvus])
@pytest.mark.parametrize("is_indexed", [False, True])
@pytest.mark.parametrize("is_filtered", [False, True])
def test_a_ranked_search_equals_brute_force(
    filled: Filled, is_indexed: bool, is_filtered: bool, store: OpenStore, milvus: str
) -> None:
    if store is open_milvus:
        choose(filled.catalog, milvus)
    filled.add(300)
    if is_indexed:
        index_file.rebuild(filled.catalog, filled.model)
    filled.add(100)
    allowed = np.arange(3, 400, 3) if is_filtered else None
    queries, weights = filled.queries(4), np.array([0, 0.5, 0.5, 1], np.float32)
    with closing(Searcher(filled.catalog, store)) as searcher:
        answers = searcher.search(filled.model, queries, 12, allowed, weights)
    among = np.arange(1, 401) if allowed is None else allowed
    for query, weight, hits in zip(queries, weights, answers, strict=True):
        assert [hit.image.id for hit in hits] == best(filled, query, float(weight), among)[:12]
        for hit in hits:
            cosine = float(query @ filled.by_id[hit.image.id])
            assert hit.score == pytest.approx(cosine, abs=1e-5)
            assert hit.left == pytest.approx(hit.score - weight * hit.hubness, abs=1e-5)
    assert filled.path.exists() == is_indexed


def test_the_index_file_of_before_is_replaced(filled: Filled) -> None:
    filled.add(50)
    index_file.rebuild(filled.catalog, filled.model)
    searcher = Searcher(filled.catalog)
    opened = searcher.store(filled.model).index()
    assert opened is not None and opened.dim == DIM + PADDING_COLUMNS
    writing.all_measured(filled.catalog, filled.model, "other sentences")
    other = filled.catalog.current_model()
    assert other and not is_measured(other) and index_file.dim_of(other) == DIM
    [hits] = Searcher(filled.catalog).search(other, filled.queries(1), 50)
    assert len(hits) == 50 and all(hit.left == hit.score and hit.hubness == 0 for hit in hits)


def test_hubness_keeps_its_precision_in_two_halves() -> None:
    hubness = np.linspace(0.05, 0.9, 1000, dtype=np.float32)
    longer = with_hubness(np.zeros((1000, 4), np.float16), hubness).astype(np.float32)
    np.testing.assert_allclose(longer[:, 4] + longer[:, 5], hubness, atol=1e-6)
    assert longer.shape == (1000, 4 + PADDING_COLUMNS) and not longer[:, 6:].any()


def test_the_approximate_kind_reads_enough_lists_for_queries_in_words(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    vectors = PictureLike(64).draw(8_000, seed=1)
    hubness = generator.normal(0.215, 0.014, len(vectors)).astype(np.float32)
    ids, longer = np.arange(1, 8_001), with_hubness(vectors.astype(np.float16), hubness)
    spec = IndexSpec("ivf", lists=180, suffix=QUERY_PADDING)
    index = VectorIndex.build(tmp_path / "ivf", [(ids, longer)], spec, 64 + PADDING_COLUMNS)
    weights = np.full(100, HUBNESS_WEIGHT, np.float32)
    queries = with_weights(text_like(vectors[:4_000], 100, generator), weights)
    exact = ids[np.argsort(-queries @ longer.astype(np.float32).T, axis=1)[:, :10]]
    assert recall(index.search(queries, 10)[1], exact) > 0.98 and index.probes < 180


def test_the_sentences() -> None:
    sentences = QUERY_BANK_FILE.read_text("utf-8").splitlines()
    assert len(sentences) == len(set(sentences)) >= 200
    assert all(line == line.strip().lower() and line for line in sentences)
    assert len(query_bank_digest()) == 32


def test_the_bank_is_encoded_once_and_kept_beside_the_weights(tmp_path: Path) -> None:
    tiny = resolve("tiny")
    first = QueryBank.of(tiny)
    assert not list(tiny.path.glob("bank-*"))  # an installed package is left as it is
    model = replace(tiny, path=Path(shutil.copytree(tiny.path, tmp_path / "model")))
    np.testing.assert_array_equal(QueryBank.of(model).vectors, first.vectors)
    [kept] = model.path.glob("bank-*.npy")
    model.text_file.unlink()  # it is not needed any more
    np.testing.assert_array_equal(QueryBank.of(model).vectors, first.vectors)
    shutil.copy(tiny.text_file, model.text_file)
    kept.write_bytes(kept.read_bytes()[:1000])
    np.testing.assert_array_equal(QueryBank.of(model).vectors, first.vectors)


# -- in an index run -----------------------------------------------------------------------------

SMALL_QUERY_BANK = QueryBank(unit(np.random.default_rng(8).standard_normal((30, small.DIM))))


def run(
    catalog: Catalog, photos: Path, encoder: SmallEncoder, query_bank: QueryBank | None
) -> Summary:
    load = (lambda: query_bank) if query_bank else None
    steps = index(catalog, [photos], small_model(), lambda: encoder, workers=0, query_bank=load)
    *_, summary = steps
    assert isinstance(summary, Summary)
    return summary


def check(catalog: Catalog) -> None:
    model = catalog.current_model()
    assert model and is_measured(model)
    for ids, vectors, hubness in catalog.embeddings.measured(model.id):
        np.testing.assert_allclose(
            hubness, SMALL_QUERY_BANK.measure(vectors).sum(axis=1), atol=1e-3, err_msg=str(ids)
        )
        assert (hubness != 0).all()


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    base = Path(os.path.realpath(tmp_path))
    paint_many(base / "photos", 9)
    with closing(Catalog.open(base / "library", create=True)) as catalog:
        yield catalog


def test_pictures_are_measured_when_they_are_indexed(catalog: Catalog) -> None:
    photos = catalog.local_folder.parent / "photos"
    run(catalog, photos, SmallEncoder(), SMALL_QUERY_BANK)
    check(catalog)


def test_older_ones_are_measured_in_the_next_run_without_encoding(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, encoder = catalog.local_folder.parent / "photos", SmallEncoder()
    run(catalog, photos, encoder, None)
    model = catalog.current_model()
    assert model and model.bank is None and encoder.pictures == 9
    paint_many(photos, 2, first=50)
    assert run(catalog, photos, encoder, SMALL_QUERY_BANK).encoded == 2
    assert encoder.pictures == 11
    check(catalog)
    measured = catalog.current_model()
    assert measured
    monkeypatch.setattr(file_store, "SMALL_FILE_BYTES", 0)  # bytes: no file is too small to be used
    opened = Searcher(catalog).store(measured).index()
    assert opened is not None and opened.dim == small.DIM + PADDING_COLUMNS and opened.count == 11
    monkeypatch.setattr(QueryBank, "measure", None)  # and never again
    assert run(catalog, photos, encoder, SMALL_QUERY_BANK).unchanged == 11
