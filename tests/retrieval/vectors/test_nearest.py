"""The nearest images: equal to brute force, whatever has become of the index file."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from indexes import IndexSpec, VectorIndex, spec
from indexes.ivf.layout import read_footers
from indexes.ivf.search import map_lists
from indexes.ivf.training import Lists
from retrieval.catalog import roots, writing
from retrieval.catalog.lock import write_lock
from retrieval.catalog.reading import Catalog
from retrieval.locate import Place
from retrieval.records import FileState, NewImage, Vectors
from retrieval.vectors import file_store, index_file
from retrieval.vectors.file_store import FileStore
from retrieval.vectors.hubness import QueryBank, query_bank_digest
from retrieval.vectors.nearest import Searcher
from retrieval.vectors.opening import choose, open_store

pytestmark = pytest.mark.databases("sqlite", "postgresql")

DIM = 16


class Filled:
    """A catalog of random unit vectors; `by_id` is what is in it."""

    def __init__(
        self, place: Place, pictures: Path, seed: int = 0, query_bank: QueryBank | None = None
    ) -> None:
        self.catalog = Catalog.open(place, create=True)
        self.query_bank = query_bank
        names = ("random", "d" * 64, DIM, "fp32", query_bank_digest() if query_bank else None)
        self.model = writing.adopt_model(self.catalog, *names)
        self.root = roots.place_root(self.catalog, pictures, True)
        self.by_id: dict[int, NDArray[np.float32]] = {}
        self._generator = np.random.default_rng(seed)

    def add(self, count: int, inside: str = "") -> None:
        self.put(unit(self._generator.standard_normal((count, DIM))), inside)

    def put(self, vectors: NDArray[np.float32], inside: str = "") -> None:
        start = len(self.by_id)
        digests = [(start + i).to_bytes(16, "big") for i in range(len(vectors))]
        places = [f"{inside}{start + i:06}.jpg".encode() for i in range(len(vectors))]
        files = [
            FileState(self.root.id, place, 1, 1, digest, None)
            for place, digest in zip(places, digests, strict=True)
        ]
        images = [NewImage(digest, 4, 3, "JPEG", None) for digest in digests]
        of = dict(zip(digests, vectors, strict=True))
        measured = self.query_bank.measure(vectors) if self.query_bank else None
        hubness = {} if measured is None else dict(zip(digests, measured, strict=True))
        writing.record(self.catalog, files, images, Vectors(self.model.id, of, hubness))
        for digest in digests:
            id = self.catalog.images.of_digest(digest)
            assert id is not None
            vector = self.catalog.embeddings.vector(self.model.id, id)
            assert vector is not None
            self.by_id[id] = vector

    def forget(self, place: str) -> None:
        path = self.root.path / place
        for id in self.catalog.places.ids_under(path).tolist():
            self.by_id[id] = np.full(DIM, np.nan, np.float32)
        roots.forget(self.catalog, path)

    def build(self) -> None:
        """Bring the store up to date, a file even if it is hardly out of date."""
        with closing(open_store(self.catalog, self.model)) as store:
            if isinstance(store, FileStore):
                index_file.rebuild(self.catalog, self.model)
            else:
                store.refresh()

    @property
    def path(self) -> Path:
        return index_file.path_of(self.catalog, self.model.digest)

    def queries(self, count: int) -> NDArray[np.float32]:
        return unit(self._generator.standard_normal((count, DIM)))

    def expected(
        self, query: NDArray[np.float32], limit: int, allowed: NDArray[np.int64] | None = None
    ) -> list[int]:
        alive = [id for id, vector in self.by_id.items() if not np.isnan(vector).any()]
        if allowed is not None:
            alive = [id for id in alive if id in allowed]
        return sorted(alive, key=lambda id: (-float(query @ self.by_id[id]), id))[:limit]


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.fixture
def filled(place: Place, base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Filled]:
    monkeypatch.setattr(file_store, "SMALL_FILE_BYTES", 0)  # bytes: no file is too small to be used
    (base / "pictures").mkdir()
    filled = Filled(place, base / "pictures")
    with closing(filled.catalog):
        yield filled


@pytest.fixture(params=["file", "milvus"])
def stored(filled: Filled, request: pytest.FixtureRequest) -> Filled:
    """As `filled`, with either store of its vectors."""
    if request.param == "milvus":
        choose(filled.catalog, request.getfixturevalue("milvus"))
    return filled


def check(
    filled: Filled,
    limit: int = 10,
    allowed: NDArray[np.int64] | None = None,
    searcher: Searcher | None = None,
) -> None:
    queries = filled.queries(3)
    with closing(Searcher(filled.catalog)) as own:
        answers = (searcher or own).search(filled.model, queries, limit, allowed)
    for query, hits in zip(queries, answers, strict=True):
        assert [hit.image.id for hit in hits] == filled.expected(query, limit, allowed)
        for hit in hits:
            assert hit.score == pytest.approx(float(query @ filled.by_id[hit.image.id]), abs=1e-5)


def test_without_an_index_file(filled: Filled) -> None:
    filled.add(500)
    check(filled)
    assert not filled.path.exists()  # few vectors need none


def test_with_a_store(stored: Filled) -> None:
    stored.add(500)
    stored.build()
    check(stored)


def test_the_tail_is_found_as_well(stored: Filled) -> None:
    stored.add(300)
    stored.build()
    stored.add(200)
    check(stored, limit=50)


def test_forgotten_images_do_not_take_the_places_of_others(stored: Filled) -> None:
    stored.add(300, "gone/")
    stored.add(100, "kept/")
    stored.build()
    stored.add(50, "tail/")
    stored.forget("gone")
    check(stored, limit=20)
    check(stored, limit=150)


@pytest.mark.parametrize("limit", [1, 7, 10**9])
def test_any_limit(stored: Filled, limit: int) -> None:
    stored.add(60)
    stored.build()
    stored.add(7)
    check(stored, limit=limit)


@pytest.mark.parametrize("limit", [5, 10_000])
def test_filters_are_exact(stored: Filled, limit: int) -> None:
    stored.add(200, "one/")
    stored.add(30, "two/")
    stored.build()
    stored.add(30, "two/")
    allowed = stored.catalog.places.ids_under(stored.root.path / "two")
    assert len(allowed) == 60
    check(stored, limit, allowed)
    check(stored, limit, np.empty(0, np.int64))


def test_equal_scores_are_in_the_order_of_their_ids(stored: Filled) -> None:
    same = np.repeat(stored.queries(1), 40, axis=0)
    stored.put(same[:25])
    stored.build()
    stored.put(same[25:])
    with closing(Searcher(stored.catalog)) as searcher:
        [hits] = searcher.search(stored.model, same[:1], 40)
    first = [hit.image.id for hit in hits if hit.left == hits[0].left]  # a score is at most 1
    assert len(hits) == 40 and first == sorted(first)


def test_nothing_in_it(stored: Filled) -> None:
    with closing(Searcher(stored.catalog)) as searcher:
        assert searcher.search(stored.model, stored.queries(2), 10) == [[], []]
        assert searcher.search(stored.model, stored.queries(0), 10) == []


def test_the_first_search_of_a_small_library_does_without(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "SMALL_FILE_BYTES", 1 << 20)
    filled.add(50)
    index_file.rebuild(filled.catalog, filled.model)
    searcher = Searcher(filled.catalog)
    assert searcher.store(filled.model).index() is None
    check(filled, searcher=searcher)
    assert searcher.store(filled.model).index() is not None
    check(filled, searcher=searcher)


# -- an index file that cannot be trusted --------------------------------------------------------


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    match how:
        case "deleted":
            path.unlink()
        case "truncated":
            path.write_bytes(data[: len(data) // 2])
        case "empty":
            path.write_bytes(b"")
        case "garbage":
            path.write_bytes(bytes(range(256)) * 100)
        case "a folder":
            path.unlink()
            path.mkdir()


@pytest.mark.parametrize("how", ["deleted", "truncated", "empty", "garbage", "a folder"])
def test_a_damaged_file_costs_nothing_but_time(filled: Filled, how: str) -> None:
    filled.add(100)
    index_file.rebuild(filled.catalog, filled.model)
    damage(filled.path, how)
    check(filled)


def test_a_long_library_gets_its_file_back(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "MAX_TAIL", 50)
    filled.add(100)
    searcher = Searcher(filled.catalog)
    check(filled, searcher=searcher)
    assert filled.path.exists()
    assert searcher.store(filled.model).index() is searcher.store(filled.model).index()


def test_it_does_without_while_another_writes(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_file, "MAX_TAIL", 50)
    filled.add(100)
    with write_lock(filled.catalog.local_folder):
        check(filled)
    assert not filled.path.exists()


def build(path: Path, ids: range, dim: int, seed: int = 99) -> None:
    vectors = unit(np.random.default_rng(seed).standard_normal((len(ids), dim)))
    VectorIndex.build(path, [(np.array(ids, np.int64), vectors)], IndexSpec("flat"), dim)


@pytest.mark.parametrize("ids", [range(1, 101), range(1, 1001), range(51, 150), range(501, 900)])
def test_the_file_of_another_library_is_replaced(filled: Filled, ids: range) -> None:
    filled.add(100)
    build(filled.path, ids, DIM)
    check(filled, limit=30)
    check(filled, limit=1000)
    again = VectorIndex.open(filled.path)
    assert (again.count, again.last_id) == (100, 100)


def test_another_dimension_is_damage(filled: Filled) -> None:
    filled.add(100)
    build(filled.path, range(1, 101), 2 * DIM)
    check(filled)


def test_a_file_that_lacks_some_is_replaced(filled: Filled) -> None:
    filled.add(40)
    shutil.copy(_index_of_even_ids(filled), filled.path)
    check(filled, limit=100)


def _index_of_even_ids(filled: Filled) -> Path:
    """As of an image whose embedding came after the file was made, under an id of before."""
    ids = np.array([id for id in filled.by_id if id % 2 == 0 or id == 40], np.int64)
    vectors = np.stack([filled.by_id[int(id)] for id in ids])
    path = filled.catalog.local_folder / "even.faiss"
    VectorIndex.build(path, [(ids, vectors)], IndexSpec("flat"), DIM)
    return path


# -- a searcher that lives long ------------------------------------------------------------------


def test_a_replaced_file_is_opened_again(filled: Filled) -> None:
    filled.add(50)
    index_file.rebuild(filled.catalog, filled.model)
    searcher = Searcher(filled.catalog)
    before = searcher.store(filled.model).index()
    filled.add(50)
    check(filled, searcher=searcher)
    assert searcher.store(filled.model).index() is before
    index_file.rebuild(filled.catalog, filled.model)
    after = searcher.store(filled.model).index()
    assert after is not None and after is not before and after.count == 100
    check(filled, searcher=searcher)


def test_the_approximate_kind_is_topped_up(filled: Filled) -> None:
    """Where the lists that it reads hold fewer than were asked for, the catalog is scanned."""
    filled.add(900, "many/")
    filled.add(20, "few/")
    spec = IndexSpec("ivf", lists=8)
    VectorIndex.build(filled.path, filled.catalog.embeddings.vectors(filled.model.id), spec, DIM)
    check(filled, limit=2000)
    check(filled, limit=10, allowed=filled.catalog.places.ids_under(filled.root.path / "few"))
    assert VectorIndex.open(filled.path).kind == "ivf"  # it was not at fault


def test_a_long_tail_joins_the_lists_of_a_large_index(
    filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spec, "MAX_EXACT_BYTES", 10_000)
    monkeypatch.setattr(index_file, "MAX_TAIL", 50)
    filled.add(900)
    index_file.refresh(filled.catalog, filled.model)
    centroids = centroids_of(filled.path)
    filled.add(50)
    index_file.refresh(filled.catalog, filled.model)
    assert VectorIndex.open(filled.path).count == 900  # the tail is short enough to be scanned
    filled.add(1)
    index_file.refresh(filled.catalog, filled.model)
    assert VectorIndex.open(filled.path).count == 951
    np.testing.assert_array_equal(centroids_of(filled.path), centroids)
    check(filled, limit=951)
    filled.add(2000)  # as many as need more lists
    index_file.refresh(filled.catalog, filled.model)
    assert len(centroids_of(filled.path)) > len(centroids)


def centroids_of(path: Path) -> NDArray[np.float32]:
    with path.open("rb") as file:
        _, lists = read_footers(file)
        assert lists
        return Lists.of(map_lists(file, lists)).centroids
