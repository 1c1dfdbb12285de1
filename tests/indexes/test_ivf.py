"""The approximate kind finds 99 in 100 of what the exact one finds, asked in words."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import IndexSpec, VectorIndex, verify
from indexes.flat_file import FlatFile, places
from indexes.ivf import search
from indexes.ivf.blocks import packed, unpacked
from indexes.ivf.effort import Effort
from indexes.ivf.layout import read_footers
from indexes.ivf.rotation import balanced
from indexes.ivf.training import Lists
from indexes.recall import recall, text_like, unit

COUNT, DIM, LISTS = 20_000, 48, 100
IDS = np.arange(COUNT) * 3 + 1


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
    """Indexes of all vectors: `flat`, `ivf`, and `grown` from the first three quarters of them."""
    folder = tmp_path_factory.mktemp("ivf")
    vectors = pictures(COUNT, 1).astype(np.float16)
    spec, some = IndexSpec("ivf", LISTS), 3 * COUNT // 4
    VectorIndex.build(folder / "flat", [(IDS, vectors)], IndexSpec("flat"), DIM)
    batches = [(IDS[:9999], vectors[:9999]), (IDS[9999:], vectors[9999:])]
    VectorIndex.build(folder / "ivf", batches, spec, DIM)
    VectorIndex.build(folder / "grown", [(IDS[:some], vectors[:some])], spec, DIM)
    more = [(IDS[some:-9], vectors[some:-9]), (IDS[-9:], vectors[-9:])]
    VectorIndex.grow(folder / "grown", more)
    return folder


@pytest.fixture(params=["ivf", "grown"])
def path(folder: Path, request: pytest.FixtureRequest) -> Path:
    return folder / str(request.param)


@pytest.fixture
def lists_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few vectors would be compared exactly if comparing them did not seem to take so long."""
    monkeypatch.setattr(search, "CODES_PER_ROW", 1e9)


def queries(count: int, seed: int) -> NDArray[np.float32]:
    return text_like(pictures(2000, 3), count, np.random.default_rng(seed))


@pytest.mark.parametrize("limit", [10, 100])
def test_recall_of_queries_that_the_build_did_not_ask(
    folder: Path, path: Path, limit: int, lists_only: None
) -> None:
    asked = queries(200, 4)
    exact = VectorIndex.open(folder / "flat").search(asked, limit)
    index = VectorIndex.open(path)
    scores, ids = index.search(asked, limit)
    assert recall(ids, exact[1]) >= 0.985  # 0.99, less what 200 queries allow
    assert 1 <= index.probes < LISTS
    is_same = ids[:, 0] == exact[1][:, 0]
    np.testing.assert_allclose(scores[is_same, 0], exact[0][is_same, 0], atol=1e-6)


def test_one_query_is_answered_as_among_many(path: Path, lists_only: None) -> None:
    index, asked = VectorIndex.open(path), queries(20, 6)
    together = index.search(asked, 10)[1]
    alone = np.concatenate([index.search(query[np.newaxis], 10)[1] for query in asked])
    assert recall(alone, together) > 0.97  # its lists are shared out, so it compares a few more


@pytest.mark.parametrize("every", [2, 10, 50])
def test_filters_reach_into_the_lists(
    folder: Path, path: Path, every: int, lists_only: None
) -> None:
    index, flat = VectorIndex.open(path), VectorIndex.open(folder / "flat")
    asked, allowed = queries(100, 5), IDS[::every]
    found, exact = (each.search(asked, 10, allowed)[1] for each in (index, flat))
    assert np.all(np.isin(found[found >= 0], allowed))
    assert recall(found, exact) >= 0.98


def test_few_that_are_allowed_are_compared_exactly(folder: Path, path: Path) -> None:
    index, flat = VectorIndex.open(path), VectorIndex.open(folder / "flat")
    asked = queries(20, 5)
    for allowed in (IDS[::100], IDS[7:8], np.array([0, 1, 2, 10**12])):
        found, exact = (each.search(asked, 10, allowed)[1] for each in (index, flat))
        np.testing.assert_array_equal(found, exact[:, : found.shape[1]])
        assert np.all(exact[:, found.shape[1] :] == -1)


@pytest.mark.parametrize("count", [3, 40, 400])
def test_a_filter_whose_vectors_lie_in_far_lists_finds_some(
    folder: Path, path: Path, count: int, lists_only: None
) -> None:
    asked = queries(1, 5)
    far = np.sort(VectorIndex.open(folder / "flat").search(asked, COUNT)[1][0, -count:])
    found = VectorIndex.open(path).search(asked, 10, far)[1]
    assert found.shape == (1, min(10, count)) and np.isin(found, far).all()


def test_a_vast_limit_is_all_there_is(folder: Path, path: Path) -> None:
    asked = queries(2, 8)
    index, flat = VectorIndex.open(path), VectorIndex.open(folder / "flat")
    found, exact = (each.search(asked, 10**9)[1] for each in (index, flat))
    np.testing.assert_array_equal(np.sort(found), np.sort(exact))


def test_files_without_memory_mapping_are_read(
    path: Path, lists_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = queries(5, 9)
    mapped = VectorIndex.open(path).search(asked, 10)[1]
    monkeypatch.setattr("indexes.layout._can_be_mapped", lambda file: False)
    np.testing.assert_array_equal(VectorIndex.open(path).search(asked, 10)[1], mapped)


def test_what_it_says_of_itself(folder: Path, path: Path) -> None:
    index = VectorIndex.open(path)
    assert (index.kind, index.count, index.dim) == ("ivf", COUNT, DIM)
    assert (index.lists, index.last_id) == (LISTS, 3 * (COUNT - 1) + 1)
    verify(path)
    assert sorted(each.name for each in folder.iterdir()) == ["flat", "grown", "ivf"]


def test_the_vectors_are_those_of_a_flat_file(folder: Path, path: Path) -> None:
    flat = (folder / "flat").read_bytes()
    assert path.read_bytes()[: len(flat)] == flat


def test_lists_hold_the_codes_of_their_vectors_as_faiss_packs_them(path: Path) -> None:
    with path.open("rb") as file:
        flat_footer, footer = read_footers(file)
        assert footer
        flat, rotated = FlatFile(file, flat_footer), search.map_lists(file, footer)
        ours = rotated.index
        lists, packer = Lists.of(rotated), ours.get_CodePacker()
        held, block = 0, np.empty(32 * ours.code_size, np.uint8)
        for number in range(LISTS):
            size = ours.invlists.list_size(number)
            ids = faiss.rev_swig_ptr(ours.invlists.get_ids(number), size)
            ids = ids[ids >= 0]
            vectors = flat.codes[np.searchsorted(flat.ids, ids)].astype(np.float32)
            codes = np.zeros((size, ours.code_size), np.uint8)
            codes[: len(ids)] = lists.encode(rotated(vectors), np.full(len(ids), number))
            blocks = faiss.rev_swig_ptr(ours.invlists.get_codes(number), codes.size)
            for first in range(0, size, 32):
                packer.pack_all(faiss.swig_ptr(codes[first:]), faiss.swig_ptr(block))
                start = first * ours.code_size
                np.testing.assert_array_equal(blocks[start : start + len(block)], block)
            held += len(ids)
    assert held == COUNT


@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 5), (32, 7), (75, 24)])
def test_blocks_hold_their_codes(count: int, size: int) -> None:
    codes = np.random.default_rng(count).integers(0, 256, (count, size), np.uint8)
    blocks = packed(codes)
    assert blocks.shape == (-(-count // 32), 32 * size)
    np.testing.assert_array_equal(unpacked(blocks, count), codes)


def test_each_vector_is_in_the_list_of_a_near_centroid(folder: Path) -> None:
    with (folder / "flat").open("rb") as file:
        flat = FlatFile(file, read_footers(file)[0])
    lists = Lists.trained(flat, LISTS)
    vectors = lists.rotated(flat.codes[:500].astype(np.float32))
    distances = ((vectors[:, np.newaxis] - lists.centroids) ** 2).sum(axis=2)
    of_its_own = np.take_along_axis(distances, lists.assign(vectors)[:, np.newaxis], axis=1)[:, 0]
    nearest = distances.min(axis=1)
    assert np.all(of_its_own <= 1.2 * nearest) and np.mean(of_its_own == nearest) > 0.9


@pytest.mark.parametrize("missing", [0, 1, 30, 150])
def test_ids_are_found_between_gaps(missing: int) -> None:
    chance = np.random.default_rng(missing)
    held = np.sort(chance.permutation(np.arange(7, 207))[missing:])
    for ids in (held, held[::9], np.arange(300), np.array([3]), np.array([], np.int64)):
        expected = np.flatnonzero(np.isin(held, ids))
        np.testing.assert_array_equal(places(ids, held), expected)
        assert not len(places(ids, held[:0]))


@pytest.mark.parametrize("dim", [48, 50, 3])
def test_a_rotation_keeps_products_and_balances_the_pieces(dim: int) -> None:
    rests = np.random.default_rng(1).standard_normal((2_000, dim)).astype(np.float32)
    rests *= 1 / np.sqrt(np.arange(1, dim + 1, dtype=np.float32))
    rotation = balanced(rests)
    assert rotation.shape == (-(-dim // 4) * 4, dim)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(dim), atol=1e-5)
    if dim == 48:
        by_piece = np.log((rests @ rotation.T).var(axis=0)).reshape(-1, 4).sum(axis=1)
        plain = np.log(rests.var(axis=0)).reshape(-1, 4).sum(axis=1)
        assert np.ptp(by_piece) < 0.2 * np.ptp(plain)


def test_effort_rises_with_the_rank() -> None:
    effort = Effort((10, 20, 40), (100, 700, 6_000))
    assert [effort.lists_for(rank) for rank in (1, 10, 100, 1000, 10_000)] == [10, 10, 20, 40, 80]
    assert [effort.codes_for(rank) for rank in (1, 10, 1000)] == [100, 100, 6_000]
    assert 700 < effort.codes_for(300) < 6_000 < effort.codes_for(2_000)
    assert effort.grown(2).codes == (200, 1_400, 12_000)


@pytest.mark.parametrize("ids", [[3], [3 * COUNT, 3 * COUNT], [2, 5]])
def test_ids_that_do_not_rise_do_not_grow_it(path: Path, ids: list[int]) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="ids"):
        VectorIndex.grow(path, [(np.array(ids), pictures(len(ids), 1))])
    assert path.read_bytes() == before


def test_growing_by_nothing_changes_nothing(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(path.read_bytes())
    VectorIndex.grow(copy, [])
    assert copy.read_bytes() == path.read_bytes()


def test_too_few_vectors_for_the_lists(tmp_path: Path) -> None:
    vectors = pictures(5, 1)
    with pytest.raises(ValueError, match="5 vectors do not fill 10 lists"):
        VectorIndex.build(tmp_path / "v", [(np.arange(5), vectors)], IndexSpec("ivf", 10), DIM)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_allowed_may_lie_far_from_the_query(tmp_path: Path, count: int) -> None:
    """Such as photos of a trip, asked for something else: no list near the query has any."""
    vectors = pictures(COUNT, 1)
    vectors[COUNT // 2 :] *= -1
    batch = IDS, vectors.astype(np.float16)
    for kind, spec in (("flat", IndexSpec("flat")), ("ivf", IndexSpec("ivf", LISTS))):
        VectorIndex.build(tmp_path / kind, [batch], spec, DIM)
    flat, index = (VectorIndex.open(tmp_path / kind) for kind in ("flat", "ivf"))
    asked = pictures(count, 5)
    for allowed in (IDS[COUNT // 2 :], np.append(IDS[:3], IDS[COUNT // 2 :])):
        found, exact = (each.search(asked, 10, allowed)[1] for each in (index, flat))
        assert np.all(found >= 0) and recall(found, exact) > 0.85
