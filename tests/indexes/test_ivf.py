"""The approximate kind finds 99 in 100 of what the exact one finds, asked in words."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import IndexSpec, VectorIndex, verify
from indexes.ivf import FlatFile, assign, train
from indexes.layout import read_footer
from indexes.recall import recall, text_like, unit

COUNT, DIM, LISTS = 20_000, 48, 100


def pictures(count: int, seed: int) -> NDArray[np.float32]:
    """Vectors that lie as CLIP's do: around a mean, about 200 topics, in uneven directions."""
    scale = (1 / np.sqrt(np.arange(1, DIM + 1))).astype(np.float32)
    of_all = np.random.default_rng(7)
    topics = of_all.standard_normal((200, DIM), dtype=np.float32) * scale
    mean = unit(of_all.standard_normal(DIM, dtype=np.float32))
    own = np.random.default_rng(seed)
    chosen = topics[own.integers(0, 200, count)]
    noise = own.standard_normal((count, DIM), dtype=np.float32) * scale
    return unit(0.75 * mean + 0.66 * unit(chosen + 0.8 * noise))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ivf")
    ids, vectors = np.arange(COUNT) * 3 + 1, pictures(COUNT, 1).astype(np.float16)
    VectorIndex.build(folder / "flat", [(ids, vectors)], IndexSpec("flat"), DIM)
    batches = [(ids[:9999], vectors[:9999]), (ids[9999:], vectors[9999:])]
    VectorIndex.build(folder / "ivf", batches, IndexSpec("ivf", LISTS), DIM)
    return folder


def flat_file(folder: Path) -> FlatFile:
    with (folder / "flat").open("rb") as file:
        return FlatFile(file, read_footer(file))


def test_recall_of_queries_that_the_build_did_not_ask(folder: Path) -> None:
    queries = text_like(pictures(2000, 3), 300, np.random.default_rng(4))
    exact = VectorIndex.open(folder / "flat").search(queries, 10)[1]
    index = VectorIndex.open(folder / "ivf")
    assert recall(index.search(queries, 10)[1], exact) >= 0.985  # 0.99, less what 300 queries allow
    assert 1 <= index.probes < LISTS


def test_filters_reach_into_the_lists(folder: Path) -> None:
    index, flat = VectorIndex.open(folder / "ivf"), VectorIndex.open(folder / "flat")
    queries = text_like(pictures(2000, 3), 50, np.random.default_rng(5))
    allowed = np.arange(1, 3 * COUNT, 30)
    found, exact = (each.search(queries, 10, allowed)[1] for each in (index, flat))
    assert np.all(np.isin(found[found >= 0], allowed))
    assert recall(found, exact) >= 0.95


def test_what_it_says_of_itself(folder: Path) -> None:
    index = VectorIndex.open(folder / "ivf")
    assert (index.kind, index.count, index.dim) == ("ivf", COUNT, DIM)
    assert index.last_id == 3 * (COUNT - 1) + 1
    verify(folder / "ivf")
    assert sorted(each.name for each in folder.iterdir()) == ["flat", "ivf"]


def test_bytes_are_what_faiss_would_write(folder: Path, tmp_path: Path) -> None:
    flat = flat_file(folder)
    theirs = train(flat, LISTS)
    theirs.add_with_ids(flat.codes.astype(np.float32), np.array(flat.ids))
    expected = faiss.serialize_index(theirs).tobytes()
    assert (folder / "ivf").read_bytes()[: len(expected)] == expected


def test_each_vector_is_in_the_list_of_its_nearest_centroid(folder: Path) -> None:
    flat = flat_file(folder)
    index = train(flat, LISTS)
    centroids = index.quantizer.reconstruct_n(0, LISTS)
    nearest = (flat.codes[:500].astype(np.float32) @ centroids.T).argmax(axis=1)
    np.testing.assert_array_equal(assign(flat, index.quantizer)[:500], nearest)


def test_too_few_vectors_for_the_lists(tmp_path: Path) -> None:
    vectors = pictures(5, 1)
    with pytest.raises(ValueError, match="5 vectors do not fill 10 lists"):
        VectorIndex.build(tmp_path / "v", [(np.arange(5), vectors)], IndexSpec("ivf", 10), DIM)
    assert list(tmp_path.iterdir()) == []
