"""Milvus behind a library: chosen, filled, left behind, interrupted, and out of reach."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from retrieval import Library
from retrieval.catalog import roots, writing
from retrieval.catalog.reading import Catalog
from retrieval.catalog.recording import outbox
from retrieval.collection.check import check as checked
from retrieval.errors import InvalidValue, VectorsUnavailable
from retrieval.locate import Place
from retrieval.records import FileState
from retrieval.vectors.milvus import filling, store, tuning
from retrieval.vectors.milvus.address import of_stored, parse
from retrieval.vectors.milvus.collection import MilvusCollection
from retrieval.vectors.milvus.entities import with_weights
from retrieval.vectors.milvus.store import MilvusStore
from retrieval.vectors.nearest import Searcher
from retrieval.vectors.opening import LOCAL, address_of, choose, open_store
from tests.retrieval.cli.test_cli import ok, refused
from tests.retrieval.conftest import paint
from tests.retrieval.vectors.test_nearest import DIM, Filled, check, unit

pytestmark = [pytest.mark.databases("sqlite"), pytest.mark.xdist_group("milvus")]
both = pytest.mark.databases("sqlite", "postgresql")  # where triggers or locks decide


@pytest.fixture
def filled(place: Place, base: Path, milvus: str) -> Iterator[Filled]:
    """A library that has chosen a Milvus, which holds nothing yet."""
    (base / "pictures").mkdir()
    filled = Filled(place, base / "pictures")
    with closing(filled.catalog):
        choose(filled.catalog, milvus)
        yield filled


@pytest.fixture
def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error instead of an answer by the catalog alone."""
    monkeypatch.setattr(store, "MAX_SCANNED", 0)


def held(filled: Filled) -> dict[int, dict[str, Any]]:
    """What the collection holds, by id."""
    name = filling.name_of(filled.catalog, filled.model, address(filled))
    with closing(MilvusCollection(address(filled), name, DIM)) as collection:
        fields = ["id", "image", "vector", "width", "modified", "folders"]
        return {row["id"]: row for page in collection.rows("", fields) for row in page}


def address(filled: Filled) -> Any:
    stored = address_of(filled.catalog)
    assert stored
    return of_stored(stored, filled.catalog.database.base)


# -- addresses -----------------------------------------------------------------------------------


def test_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETRIEVE_MILVUS_TOKEN", raising=False)
    plain = parse("milvus://box/holiday", Path("/library"))
    assert (plain.uri, plain.name, plain.token) == ("http://box:19530", "holiday", "")
    assert plain.stored == "milvus://box:19530/holiday" and not plain.is_lite
    monkeypatch.setenv("RETRIEVE_MILVUS_TOKEN", "root:Milvus")
    assert of_stored(plain.stored, Path("/library")).token == "root:Milvus"


def test_secrets_are_neither_stored_nor_shown() -> None:
    given = "milvus://ann:s3cret@vault:1234/x?secure=true&database=photos"
    secure = parse(given, Path("/library"))
    assert secure.uri == "https://vault:1234" and secure.token == "ann:s3cret"
    assert secure.stored == "milvus://vault:1234/x?secure=true&database=photos"
    assert "s3cret" not in repr(secure) + secure.shown
    assert of_stored(secure.stored, Path("/library")) == secure  # and in this process it is known
    assert of_stored(secure.stored, Path("/library")).token == "ann:s3cret"
    assert parse("milvus://keyed/x?token=s3cret", Path("/library")).token == "s3cret"
    for wrong in ("milvus://ann:s3cret@vault:x/", "http://a:s3cret@b/?token=s3cret"):
        with pytest.raises(InvalidValue, match="^(?!.*s3cret)"):
            parse(wrong, Path("/library"))


def test_a_file_inside_the_library_moves_with_it(base: Path) -> None:
    inside = parse(str(base / "library" / "m.db"), base / "library")
    assert inside.stored == "m.db"
    assert of_stored("m.db", base / "moved").uri == str(base / "moved" / "m.db")
    outside = parse(str(base / "m.db"), base / "library")
    assert of_stored(outside.stored, base / "moved").uri == str(base / "m.db")


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "m", "http://box:19530", "milvus:///x", "milvus://box/a-b", "milvus://box/x?y=1"),
        *("milvus://box:port/x", "milvus://box:99999/x"),
    ],
)
def test_what_is_no_address(wrong: str) -> None:
    with pytest.raises(InvalidValue, match="milvus://HOST|a name has|unknown option"):
        parse(wrong, Path("/library"))


# -- news ----------------------------------------------------------------------------------------


@both
def test_every_change_arrives(filled: Filled, no_scan: None) -> None:
    filled.add(30, "a/")
    filled.add(10, "b/")
    filled.build()
    assert set(held(filled)) == set(filled.by_id)
    catalog, before = filled.catalog, held(filled)

    filled.forget("a/000003.jpg")  # an image
    writing.remove_files(catalog, [(filled.root.id, b"a/000004.jpg")])  # a place, then its image
    writing.sweep(catalog)
    digest = (5).to_bytes(16, "big")
    copy = FileState(filled.root.id, b"c/copy.jpg", 1, 0, digest, None)
    writing.record(catalog, [copy])
    assert roots.relocate(catalog, filled.root.path / "b", filled.root.path / "d") == 10
    writing.measure(catalog, filled.model, {8: np.array([0.25, 0.125], np.float32)})
    filled.add(5, "new/")
    assert catalog.holdings.waiting(100) == [4, 5, 6, 8, *range(31, 46)]
    filled.build()

    after = held(filled)
    assert set(after) == set(before) - {4, 5} | set(range(41, 46))
    assert after[6]["modified"] == 0 and len(after[6]["folders"]) == 3 + 2
    assert after[8]["vector"][-2:] == [0.375, 0]
    changed = {id for id in before.keys() & after.keys() if before[id] != after[id]}
    assert changed == {6, 8, *range(31, 41)}
    assert not catalog.holdings.count_waiting()
    for each in (4, 5):
        del filled.by_id[each]
    check(filled, limit=50)


@both
def test_a_file_that_is_moved_onto_another_takes_its_place(filled: Filled) -> None:
    filled.add(1, "a/")
    filled.add(1, "b/")
    filled.build()
    catalog = filled.catalog
    second = FileState(filled.root.id, b"b/000000.jpg", 1, 1, (1).to_bytes(16, "big"), None)
    writing.record(catalog, [second])
    filled.build()
    roots.relocate(catalog, filled.root.path / "b", filled.root.path / "a")
    assert catalog.holdings.waiting(10) == [1, 2]
    filled.build()
    assert set(held(filled)) == {2}


@both
def test_an_interrupted_run_goes_on(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.add(50)
    monkeypatch.setattr(filling, "IMAGES", 10)
    dropped = outbox.drop

    def killed(catalog: Catalog, numbers: list[int]) -> None:
        if catalog.holdings.count_waiting() < 40:
            raise KeyboardInterrupt
        dropped(catalog, numbers)

    monkeypatch.setattr(outbox, "drop", killed)
    with pytest.raises(KeyboardInterrupt):
        filled.build()
    assert len(held(filled)) == 30 and filled.catalog.holdings.count_waiting() == 30
    check(filled)
    monkeypatch.setattr(outbox, "drop", dropped)
    filled.build()
    assert set(held(filled)) == set(filled.by_id)
    check(filled)


def test_a_collection_that_is_gone_is_made_again(filled: Filled) -> None:
    filled.add(20)
    filled.build()
    name = filling.name_of(filled.catalog, filled.model, address(filled))
    with closing(MilvusCollection(address(filled), name, DIM)) as collection:
        collection.drop(name)
    check(filled)
    filled.build()
    assert len(held(filled)) == 20


@both
def test_without_triggers_nothing_is_trusted(filled: Filled, no_scan: None) -> None:
    """As in a catalog that was recovered."""
    filled.add(20)
    filled.build()
    with filled.catalog.transaction() as connection:
        statement = filled.catalog.database.without_trigger("outbox_files_added", "files")
        connection.exec_driver_sql(statement)
    with pytest.raises(VectorsUnavailable, match="run `retrieve index`"):
        check(filled)
    filled.build()
    check(filled)


def test_another_librarys_vectors_are_not_believed(filled: Filled) -> None:
    filled.add(60)
    filled.build()
    name = filling.name_of(filled.catalog, filled.model, address(filled))
    with closing(MilvusCollection(address(filled), name, DIM)) as collection:
        rows = list(held(filled).values())
        others = unit(np.random.default_rng(9).standard_normal((len(rows), DIM + 2)))
        fields = {"format": "JPEG", "height": 1}
        collection.put([row | fields | {"vector": v} for row, v in zip(rows, others, strict=True)])
    check(filled)
    assert filled.catalog.holdings.setting(filling.FILLED_SETTING) is None
    filled.build()
    check(filled)


def test_a_graph_is_searched_with_the_effort_that_recall_needs(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, no_scan: None
) -> None:
    monkeypatch.setattr(tuning, "MAX_FLAT_LITE", 500)
    filled.add(2_000)
    filled.build()
    kept = tuning.effort_of(filled.catalog)
    assert (kept.kind, kept.vectors) == ("HNSW", 2_000) and kept.recall >= 0.99
    queries = filled.queries(20)
    with closing(Searcher(filled.catalog)) as searcher:
        assert not searcher.store(filled.model).is_exact
        answers = searcher.search(filled.model, queries, 10)
    found = [{hit.image.id for hit in hits} for hits in answers]
    exact = [set(filled.expected(query, 10)) for query in queries]
    assert sum(len(a & b) for a, b in zip(found, exact, strict=True)) >= 196

    name, expression = (
        filling.name_of(filled.catalog, filled.model, address(filled)),
        "image <= 200",
    )
    first_ones = np.arange(1, 201)
    exact = [set(filled.expected(query, 10, first_ones)) for query in queries]
    longer = with_weights(queries, np.zeros(20, np.float32))
    with closing(MilvusCollection(address(filled), name, DIM)) as collection:
        rows = collection.search(longer, 10, expression, kept.params(10))[1]
    assert sum(len(a & {*b}) for a, b in zip(exact, rows.tolist(), strict=True)) >= 196


class Asked:
    """In place of a server's client: keeps what it is asked to make."""

    def __init__(self) -> None:
        self.schema: dict[str, Any] = {}
        self.indexes: list[Any] = []

    def prepare_index_params(self) -> Any:
        return MilvusClient.prepare_index_params()

    def create_schema(self, **options: Any) -> Any:
        return MilvusClient.create_schema(**options)

    def create_collection(self, name: str, *, schema: Any, index_params: Any, **_: Any) -> None:
        self.schema, self.indexes = schema.to_dict(), list(index_params)

    def create_index(self, name: str, params: Any) -> None:
        self.indexes += params

    def drop_collection(self, *_: object, **__: object) -> None: ...
    def drop_index(self, *_: object, **__: object) -> None: ...
    def load_collection(self, *_: object, **__: object) -> None: ...
    def release_collection(self, *_: object, **__: object) -> None: ...


def test_what_a_server_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is at hand: float16 vectors, an index of each filter, and a graph by size."""
    asked = Asked()
    monkeypatch.setattr("retrieval.vectors.milvus.collection.connect", lambda address: asked)
    server = parse("milvus://box/holiday", Path("/library"))
    collection = MilvusCollection(server, "holiday_1", 512)
    collection.create()
    fields = {field["name"]: field for field in asked.schema["fields"]}
    assert fields["id"]["is_primary"] and not asked.schema["auto_id"]
    assert fields["vector"]["type"] is DataType.FLOAT16_VECTOR
    assert fields["vector"]["params"]["dim"] == 512 + 2
    folders = fields["folders"]
    assert (folders["type"], folders["element_type"]) == (DataType.ARRAY, DataType.INT64)
    assert folders["params"]["max_capacity"] == 4_096
    kinds = {index.field_name: index.index_type for index in asked.indexes}
    assert kinds.pop("vector") == "FLAT" and {*kinds.values()} == {"INVERTED"}
    assert {*kinds} >= {"taken", "camera", "format", "folders"} and {*kinds} <= {*fields}

    sizes = (100_000, 100_001, 20_000_000, 20_000_001)
    assert [tuning.kind_for(size, server) for size in sizes] == ["FLAT", "HNSW", "HNSW", "DISKANN"]
    for kind, built, effort in (
        ("HNSW", {"M": 32, "efConstruction": 256}, "ef"),
        ("DISKANN", {}, "search_list"),
    ):
        collection.set_index(kind)
        made = asked.indexes[-1].to_dict()
        assert made["index_type"] == kind and made["metric_type"] == "IP"
        assert {**built}.items() <= {**made, **made.get("params", {})}.items()
        assert tuning.Effort(kind, 1, 64).params(100) == {effort: 100}  # it returns no more


# -- compared with the catalog -------------------------------------------------------------------


def problems(filled: Filled, *, repair: bool = False) -> list[tuple[str, str | None]]:
    found = checked(filled.catalog.place, repair)
    return [(problem.what.split(" ", 1)[1], problem.mended) for problem in found]


@both
def test_check_compares_the_collection_with_the_catalog(filled: Filled) -> None:
    filled.add(30)
    filled.build()
    filled.add(5)  # in the outbox, so it may differ
    assert not problems(filled)
    name = filling.name_of(filled.catalog, filled.model, address(filled))
    with closing(MilvusCollection(address(filled), name, DIM)) as collection:
        rows = {id: row | {"format": "JPEG", "height": 3} for id, row in held(filled).items()}
        collection.remove("image in [3, 4]")
        collection.put([rows[7] | {"width": 5}, rows[8] | {"vector": rows[9]["vector"]}])
        collection.put([rows[10] | {"id": 99, "image": 99}])
    said = ["lacks 2 pictures", "holds 1 vectors that the catalog does not"]
    said.append("holds 2 of 28 pictures otherwise")
    assert problems(filled) == [(each, None) for each in said]
    assert problems(filled, repair=True) == [(each, "filled again") for each in said]
    assert not problems(filled) and set(held(filled)) == set(filled.by_id)


def test_what_is_not_there_is_filled_by_a_repair(filled: Filled) -> None:
    filled.add(5)
    assert problems(filled) == [("has not been filled", None)]
    assert problems(filled, repair=True) == [("has not been filled", "filled again")]
    assert len(held(filled)) == 5


# -- out of reach --------------------------------------------------------------------------------


@pytest.fixture
def nowhere() -> str:
    """The address of a Milvus that is not running."""
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        return f"milvus://127.0.0.1:{unused.getsockname()[1]}/pictures"


def test_a_milvus_that_is_down(
    filled: Filled, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.vectors.milvus.connection.CONNECT_SECONDS", 0.5)
    filled.add(20)
    filled.build()
    from retrieval.catalog.recording import settings

    settings.put(filled.catalog, {"vectors": nowhere})
    check(filled)  # by a scan
    monkeypatch.setattr(store, "MAX_SCANNED", 19)
    said = "is it running.*20 vectors are too many to scan, at most 19"
    with pytest.raises(VectorsUnavailable, match=said):
        check(filled)
    with pytest.raises(VectorsUnavailable, match="cannot reach Milvus at milvus://127.0.0.1"):
        choose(filled.catalog, nowhere)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_searches_the_catalog(place: Place, filled: Filled) -> None:
    """gRPC has no threads there."""
    filled.add(20)
    filled.build()
    with closing(Searcher(filled.catalog)) as searcher:
        check(filled, searcher=searcher)
        if (child := os.fork()) == 0:
            try:
                check(filled, searcher=searcher)
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        check(filled, searcher=searcher)


# -- from the command line -----------------------------------------------------------------------


def test_a_library_moves_to_milvus_and_back(home: Path, photos: Path) -> None:
    before = ok("index", "photos", "--workers", 0) and ok("search", "red", "--paths")
    library = Library.open()
    assert list(library.folder.glob("vectors-*"))
    ok("index", "--vectors", "./lite.db", "--workers", 0)
    assert ok("search", "red", "--paths") == before
    assert not list(library.folder.glob("vectors-*"))
    with Library.open() as opened:
        assert address_of(opened.catalog) == str(home / "lite.db")
        assert opened.model
        assert isinstance(open_store(opened.catalog, opened.model), MilvusStore)
    assert "FLAT in" in ok("status") and "13 vectors" not in ok("status")
    assert "nothing is wrong" in ok("check")
    paint(photos / "new.png", "red", 77)
    assert "1 new" in ok("index", "--workers", 0)
    found = ok("search", "red", "--paths", "--in", str(photos), "--limit", 50)
    assert "new.png" in found and len(found.splitlines()) == 13
    ok("index", "--vectors", LOCAL, "--workers", 0)
    assert list(library.folder.glob("vectors-*"))
    assert "new.png" in ok("search", "red", "--paths", "--limit", 50)


def test_mistakes(home: Path, photos: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.vectors.milvus.connection.CONNECT_SECONDS", 0.5)
    said = refused("index", "photos", "--vectors", "faiss", code=2)
    assert "'faiss' is not a vector store; write milvus://HOST:PORT/NAME" in said
    assert "is it running?" in refused("index", "photos", "--vectors", nowhere)


def test_news_wait_for_a_milvus_that_is_down(
    home: Path, photos: Path, nowhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.vectors.milvus.connection.CONNECT_SECONDS", 0.5)
    ok("index", "photos", "--workers", 0, "--vectors", "lite.db")
    from retrieval.catalog.recording import settings

    with Library.open() as library:
        settings.put(library.catalog, {"vectors": nowhere})
    paint(photos / "new.png", "red", 77)
    said = ok("index", "--workers", 0)
    assert "1 new" in said and "is it running?; 1 picture will be added" in said
    assert "new.png" in ok("search", "red", "--paths", "--limit", 50)


def test_the_store_is_released_when_it_is_closed(filled: Filled, base: Path) -> None:
    filled.add(5)
    choose(filled.catalog, str(base / "own.db"))
    filled.build()
    for _ in range(2):  # a file that is locked could not be opened again
        with closing(open_store(filled.catalog, filled.model)) as opened:
            opened.refresh()
