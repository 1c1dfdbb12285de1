"""A flat index answers as brute force does, whatever the ids, the filter and the batches."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from indexes import IndexSpec, VectorIndex, choose_spec, exact_search, vector_index, verify
from indexes.recall import unit

FLAT = IndexSpec("flat")
DIM = 24


def unit_vectors(count: int, dim: int = DIM, seed: int = 0) -> NDArray[np.float16]:
    vectors = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return unit(vectors).astype(np.float16)


def build(path: Path, ids: NDArray[np.int64], vectors: NDArray[np.float16]) -> VectorIndex:
    return VectorIndex.build(path, [(ids, vectors)], FLAT, vectors.shape[1])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "vectors.faiss"


@given(data=st.data())
def test_equals_brute_force(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    some_ids = st.sets(st.integers(0, 3000), max_size=60).map(sorted)
    ids = np.array(data.draw(some_ids, "ids"), np.int64)
    vectors = unit_vectors(len(ids), seed=data.draw(st.integers(0, 99), "seed"))
    queries = unit_vectors(data.draw(st.integers(1, 4), "queries"), seed=100).astype(np.float32)
    limit = data.draw(st.integers(1, 70), "limit")
    allowed = data.draw(st.none() | some_ids, "allowed")

    index = build(tmp_path_factory.mktemp("index") / "v.faiss", ids, vectors)
    filter_ids = None if allowed is None else np.array(allowed, np.int64)
    scores, found = index.search(queries, limit, filter_ids)

    kept = np.ones(len(ids), bool) if allowed is None else np.isin(ids, allowed)
    best_scores, best_ids = exact_search(queries, ids[kept], vectors[kept], limit)
    there = best_ids.shape[1]
    np.testing.assert_array_equal(found[:, :there], best_ids)
    np.testing.assert_allclose(scores[:, :there], best_scores, atol=1e-6)
    assert np.all(found[:, there:] == -1)


def test_bytes_are_what_faiss_would_write(path: Path) -> None:
    ids, vectors = np.arange(10, 310, 3), unit_vectors(100)
    build(path, ids, vectors)
    codes = faiss.IndexScalarQuantizer(
        DIM, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    theirs = faiss.IndexIDMap(codes)
    theirs.add_with_ids(vectors.astype(np.float32), ids)
    expected = faiss.serialize_index(theirs).tobytes()
    assert path.read_bytes()[: len(expected)] == expected


def test_batches_come_one_at_a_time(path: Path) -> None:
    ids, vectors = np.arange(100), unit_vectors(100)

    def batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        for start in range(0, 100, 7):
            yield ids[start : start + 7], vectors[start : start + 7]

    index = VectorIndex.build(path, batches(), FLAT, DIM)
    assert (index.count, index.last_id, index.dim, index.kind) == (100, 99, DIM, "flat")
    _, found = index.search(vectors.astype(np.float32), 1)
    assert found[:, 0].tolist() == ids.tolist()


def test_float32_vectors_are_rounded(path: Path) -> None:
    exact = unit_vectors(50).astype(np.float32) * np.float32(1.0001)
    index = VectorIndex.build(path, [(np.arange(50), exact)], FLAT, DIM)
    scores, ids = index.search(exact[:5], 3)
    expected = exact_search(exact[:5], np.arange(50), exact.astype(np.float16), 3)
    np.testing.assert_array_equal(ids, expected[1])
    np.testing.assert_allclose(scores, expected[0], atol=1e-6)


def test_equal_scores_are_in_the_order_of_their_ids(path: Path) -> None:
    vectors = np.repeat(unit_vectors(1), 20, axis=0)
    index = build(path, np.arange(20), vectors)
    _, ids = index.search(vectors[:1].astype(np.float32), 20)
    assert ids[0].tolist() == list(range(20))


def test_one_query_is_shared_out_among_threads(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_index, "BYTES_PER_THREAD", 1_000)
    monkeypatch.setattr(vector_index, "MAX_SCANNERS", 3)
    ids, vectors = np.arange(5, 2_005, 2), unit_vectors(1_000)
    index, query = build(path, ids, vectors), unit_vectors(1, seed=9).astype(np.float32)
    for chosen in (slice(None), slice(1, 1_000, 3), slice(17, 18), slice(0, 2)):
        allowed = None if chosen == slice(None) else ids[chosen]
        parts = index._parts(index._index, 1, allowed)
        assert (allowed is not None and len(allowed) < 3) or len(parts) == 3
        expected = exact_search(query, ids[chosen], vectors[chosen], 50)
        np.testing.assert_array_equal(index.search(query, 50, allowed)[1], expected[1])


def test_empty(path: Path) -> None:
    index = VectorIndex.build(path, [], FLAT, DIM)
    assert (index.count, index.last_id) == (0, -1)
    scores, ids = index.search(unit_vectors(2).astype(np.float32), 5)
    assert scores.shape == ids.shape == (2, 0)
    assert VectorIndex.open(path).count == 0


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_no_answers(path: Path, limit: int) -> None:
    index = build(path, np.arange(5), unit_vectors(5))
    assert index.search(unit_vectors(2).astype(np.float32), limit)[1].shape == (2, 0)


def test_a_vast_limit_is_all_there_is(path: Path) -> None:
    index = build(path, np.arange(5), unit_vectors(5))
    assert index.search(unit_vectors(2).astype(np.float32), 10**9)[1].shape == (2, 5)


def test_ids_that_it_does_not_hold_are_no_harm(path: Path) -> None:
    index = build(path, np.arange(0, 100, 2), unit_vectors(50))
    allowed = np.array([-5, 1, 3, 10, 10**15])
    _, ids = index.search(unit_vectors(1, seed=1).astype(np.float32), 10, allowed)
    assert ids[ids >= 0].tolist() == [10]


def test_queries_of_another_model_are_refused(path: Path) -> None:
    index = build(path, np.arange(5), unit_vectors(5))
    with pytest.raises(ValueError, match=r"\(Q, 24\)"):
        index.search(np.ones((1, 512), np.float32), 5)


@pytest.mark.parametrize(
    ("ids", "shape"),
    [([1, 1], (2, DIM)), ([2, 1], (2, DIM)), ([-1], (1, DIM)), ([1], (1, 9)), ([1, 2], (1, DIM))],
)
def test_bad_batches_are_refused_and_leave_the_old_index(
    path: Path, ids: list[int], shape: tuple[int, int]
) -> None:
    build(path, np.arange(5), unit_vectors(5))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="ids"):
        VectorIndex.build(path, [(np.array(ids), np.ones(shape, np.float16))], FLAT, DIM)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_build_that_is_cut_off_leaves_the_old_index(path: Path) -> None:
    build(path, np.arange(5), unit_vectors(5))
    before = path.read_bytes()

    def batches() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float16]]]:
        yield np.arange(3), unit_vectors(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        VectorIndex.build(path, batches(), FLAT, DIM)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_an_open_index_outlives_its_replacement(path: Path) -> None:
    old = build(path, np.arange(50), unit_vectors(50))
    new = build(path, np.arange(100, 110), unit_vectors(10, seed=1))
    query = unit_vectors(1).astype(np.float32)
    assert old.search(query, 1)[1].tolist() == [[0]]
    assert new.search(query, 1)[1][0, 0] >= 100


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_the_file_is_mapped_not_loaded(path: Path) -> None:
    ids, vectors = np.arange(40_000), unit_vectors(40_000, dim=256)  # 20 MB
    build(path, ids, vectors)
    before = anonymous_memory()
    index = VectorIndex.open(path)
    index.search(vectors[:1].astype(np.float32), 1)
    assert anonymous_memory() - before < 10 << 20


def anonymous_memory() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def test_many_threads_search_at_once(path: Path) -> None:
    ids, vectors = np.arange(2000), unit_vectors(2000)
    index = build(path, ids, vectors)
    queries = vectors.astype(np.float32)
    found: dict[int, NDArray[np.int64]] = {}

    def ask(part: int) -> None:
        rows = range(part, 2000, 8)
        found[part] = np.concatenate([index.search(queries[r : r + 1], 1)[1][0] for r in rows])

    threads = [threading.Thread(target=ask, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[part].tolist() == list(range(part, 2000, 8)) for part in range(8))


def test_verify_reads_all(path: Path) -> None:
    build(path, np.arange(50), unit_vectors(50))
    verify(path)


def test_exact_as_long_as_that_is_quick() -> None:
    assert choose_spec(0, 512) == choose_spec(1_000_000, 512) == FLAT
    big = choose_spec(4_000_000, 512)
    assert (big.kind, big.lists) == ("ivf", 4000)


def test_a_spec_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least one list, not 0"):
        IndexSpec("ivf")
