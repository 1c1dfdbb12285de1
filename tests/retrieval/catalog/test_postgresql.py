"""What a library on a server has that one in a folder has not: many writers, and a network."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from retrieval import Library
from retrieval.catalog import browse, roots, writing
from retrieval.catalog.reading import Catalog
from retrieval.collection.check import check
from retrieval.errors import (
    InvalidValue,
    LibraryBusy,
    LibraryNotFound,
    LibraryReadOnly,
    LibraryUnreachable,
    RetrieveError,
)
from retrieval.locate import DatabaseURL, library_place
from retrieval.records import FileState, NewImage, Progress, Shot, Vectors
from retrieval.vectors import file_store, index_file
from retrieval.vectors.nearest import Searcher
from tests.retrieval.conftest import Models
from tests.retrieval.postgres import server
from tests.retrieval.small import contents, paint_many, run_index
from tests.retrieval.vectors.test_nearest import DIM, Filled, unit

pytestmark = pytest.mark.databases("postgresql")
PATIENCE = 60.0  # seconds for what another thread or the server does at once


@contextmanager
def another(place: DatabaseURL) -> Iterator[Catalog]:
    """The same library as another process opens it."""
    with closing(Catalog.open(place)) as opened:
        yield opened


def wait_for(is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.01)


def put(catalog: Catalog, *numbers: int, with_vectors: bool = True) -> None:
    """Record images of these numbers, each with a file."""
    model = writing.adopt_model(catalog, "small", "d" * 64, DIM, "fp32")
    root = roots.place_root(catalog, Path("/nowhere"), True)
    digests = [number.to_bytes(16, "big") for number in numbers]
    files = [
        FileState(root.id, b"%d.jpg" % n, 1, 1, d, None)
        for n, d in zip(numbers, digests, strict=True)
    ]
    images = [NewImage(digest, 4, 3, "JPEG", None) for digest in digests]
    vectors = {
        d: unit(np.random.default_rng(n).normal(size=DIM))
        for n, d in zip(numbers, digests, strict=True)
    }
    of = Vectors(model.id, vectors) if with_vectors else None
    writing.record(catalog, files, images, of)


# -- many writers --------------------------------------------------------------------------------


def test_ids_are_committed_in_their_order(place: DatabaseURL, catalog: Catalog) -> None:
    put(catalog, 1)
    done = threading.Event()

    def second() -> None:
        with another(place) as other:
            put(other, 3)
        done.set()

    thread = threading.Thread(target=second)
    with catalog.transaction() as transaction:
        transaction.exec_driver_sql(
            "INSERT INTO images (digest, width, height, format) VALUES ('\\x02', 1, 1, 'PNG')"
        )
        thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_for(lambda: catalog.number(waits))
        assert not done.is_set() and catalog.images.count() == 1
    thread.join(PATIENCE)
    assert done.is_set()
    numbers = [digest[-1] for (digest,) in catalog.rows("SELECT digest FROM images ORDER BY id")]
    assert numbers == [1, 2, 3]


def test_runs_at_once_agree_on_what_they_meet(
    place: DatabaseURL, catalog: Catalog, base: Path
) -> None:
    for number in range(3):
        paint_many(base / "photos" / str(number), 25, first=20 * number)  # 5 are in two folders
    named = [[base / "photos" / name for name in pair] for pair in ("01", "12", "20")]
    problems: list[BaseException] = []

    def run(paths: list[Path]) -> None:
        try:
            with another(place) as other:
                run_index(other, paths)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(paths,)) for paths in named]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert problems == []
    with closing(Catalog.open(base / "alone", create=True)) as alone:
        run_index(alone, [path for paths in named for path in paths])
        assert contents(catalog) == contents(alone)
    assert catalog.counts().files == 75 and catalog.counts().embedded == 65
    assert [p for p in check(place, repair=False) if not p.harmless] == []


def test_a_run_goes_on_without_an_image_that_another_dropped(catalog: Catalog) -> None:
    put(catalog, 1)
    gone = FileState(1, b"copy.jpg", 1, 1, (9).to_bytes(16, "big"), None)
    writing.record(catalog, [gone], [], Vectors(1, {gone.digest or b"": np.ones(DIM, np.float32)}))
    assert catalog.counts().files == 1


def test_any_number_of_runs_or_one_change(place: DatabaseURL, catalog: Catalog) -> None:
    put(catalog, 1)
    with another(place) as other, ExitStack() as runs:
        tell = runs.enter_context(catalog.database.running())
        assert other.database.underway() is None
        tell(Progress(3, 10, 2))
        runs.enter_context(other.database.running())(Progress(4, 5, 4))
        run = catalog.database.underway()
        assert run and run[:3] == (7, 15, 6)
        with pytest.raises(LibraryBusy, match=rf"by process {os.getpid()} since 2"):
            roots.forget(other, Path("/nowhere"))
    with catalog.database.exclusive(), pytest.raises(LibraryBusy, match="is being written"):
        catalog.database.running().__enter__()
    assert catalog.database.underway() is None
    assert roots.forget(catalog, Path("/nowhere")) == 1


def test_others_see_that_there_is_news(place: DatabaseURL, catalog: Catalog) -> None:
    with another(place) as other:
        before = browse.version(other)
        assert browse.version(other) == before
        put(catalog, 1)
        assert browse.version(other) != before


# -- this machine's index file -------------------------------------------------------------------


def test_vectors_among_older_ones_outdate_the_files_of_all_machines(
    place: DatabaseURL, catalog: Catalog
) -> None:
    put(catalog, *range(1, 40))
    model = catalog.current_model()
    assert model and index_file.rebuild(catalog, model)
    path = index_file.path_of(catalog, model.digest)
    put(catalog, 40)
    assert index_file.path_of(catalog, model.digest) == path  # it is only the tail
    with another(place) as other:
        other.database.execute("DELETE FROM embeddings WHERE image_id = 7")
        vector = unit(np.ones(DIM))
        writing.record(other, [], [], Vectors(model.id, {(7).to_bytes(16, "big"): vector}))
    assert index_file.path_of(catalog, model.digest) != path and path.exists()
    [[hit, *_]] = Searcher(catalog).search(model, vector[np.newaxis], 1)
    assert hit.image.id == 7
    index_file.rebuild(catalog, model)
    assert not path.exists() and index_file.path_of(catalog, model.digest).exists()


def test_a_machine_that_only_searches_follows(
    place: DatabaseURL, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_store, "SMALL_FILE_BYTES", 0)
    monkeypatch.setattr(file_store, "LOOK_SECONDS", 0)
    monkeypatch.setattr(file_store, "BUILD_PAUSES", 0)
    monkeypatch.setattr(index_file, "MAX_TAIL", 20)
    (base / "pictures").mkdir()
    filled = Filled(place, base / "pictures")
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "other machine"))
    with closing(filled.catalog), another(place) as other:
        searcher = Searcher(other)

        def answers() -> int | None:
            [query] = filled.queries(1)
            [hits] = searcher.search(filled.model, query[np.newaxis], 5)
            assert [hit.image.id for hit in hits] == filled.expected(query, 5)
            store = searcher.store(filled.model)
            assert isinstance(store, file_store.FileStore)
            return store.index().count if store.index() else None  # type: ignore[union-attr]

        filled.add(5)
        assert answers() is None
        filled.add(20)
        assert answers() == 25
        filled.add(10)
        assert answers() == 25
        filled.add(15)
        answers()
        assert answers() == 50
        assert not list(filled.catalog.local_folder.glob("*.faiss"))


# -- what may go wrong ---------------------------------------------------------------------------


def test_a_server_that_was_restarted_is_asked_again(catalog: Catalog) -> None:
    put(catalog, 1)
    machine = server()
    machine.stop()
    try:
        for _ in range(2):
            with pytest.raises(LibraryUnreachable, match="cannot reach postgresql://.*running"):
                catalog.images.count()
        with pytest.raises(LibraryUnreachable):
            put(catalog, 2)
    finally:
        machine.start()
    assert catalog.images.count() == 1
    put(catalog, 2)
    assert catalog.images.count() == 2


def test_a_session_that_the_server_ended_is_replaced(catalog: Catalog) -> None:
    put(catalog, 1)
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'retrieve'"
    )
    server().execute(end)
    assert catalog.images.count() == 1
    server().execute(end)
    put(catalog, 2)
    assert catalog.images.count() == 2


@pytest.mark.parametrize(
    ("url", "error", "said"),
    [
        (
            "postgresql://127.0.0.1:9/x",
            LibraryUnreachable,
            "cannot reach .*; is the server running",
        ),
        ("{nowhere}", LibraryUnreachable, 'database "nowhere" does not exist; create it'),
        ("{stranger}", LibraryUnreachable, 'role "stranger" does not exist; create the user'),
        ("postgresql://h/x%zz", InvalidValue, "is not a valid URL: .*%zz"),
        ("mysql://u:secret@h/x", InvalidValue, "folder or a postgresql:// URL, not mysql://u@h/x"),
    ],
)
def test_each_mistake_is_one_line(url: str, error: type[RetrieveError], said: str) -> None:
    machine = server()
    known = {"nowhere": machine.url("nowhere"), "stranger": with_user(machine.url(), "stranger")}
    with pytest.raises(error, match=said) as raised:
        Library.open(url.format(**known)).status()
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)


def with_user(url: str, user: str, password: str = "") -> str:
    assert url.startswith("postgresql:///")
    named = f"{user}:{password}@" if password else f"{user}@"
    before, _, rest = url.removeprefix("postgresql:///").partition("&user=")
    _, _, more = rest.partition("&")
    return f"postgresql://{named}/{before}" + (f"&{more}" if more else "")


def test_who_may_only_read_searches(place: DatabaseURL, catalog: Catalog) -> None:
    put(catalog, 1, 2)
    schema = catalog.rows("SELECT current_schema()::text")[0][0]
    server().execute("DROP ROLE IF EXISTS reader")
    server().execute("CREATE ROLE reader LOGIN")
    server().execute(f"GRANT USAGE ON SCHEMA {schema} TO reader")
    server().execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader")
    with another(DatabaseURL(with_user(place.secret, "reader"))) as reader:
        assert reader.counts().embedded == 2
        with pytest.raises(LibraryReadOnly, match="permission denied"):
            put(reader, 3)
    server().execute("DROP OWNED BY reader; DROP ROLE reader")


def test_a_user_without_room_is_told_to_try_later() -> None:
    server().execute("DROP ROLE IF EXISTS narrow")
    server().execute("CREATE ROLE narrow LOGIN CONNECTION LIMIT 0")
    with pytest.raises(LibraryBusy, match="too many connections"):
        Library.open(with_user(server().url(), "narrow")).status()


OTHERS_TABLES = (
    ("CREATE TABLE library (id integer)", "library"),
    ("CREATE TABLE library (version text); INSERT INTO library VALUES ('x')", "library"),
    ("CREATE TABLE stores (a integer)", "stores"),
)


@pytest.mark.parametrize(("made", "name"), OTHERS_TABLES)
def test_a_table_of_another_program_is_no_library(made: str, name: str, place: DatabaseURL) -> None:
    server().execute(made, place.secret)
    with pytest.raises(LibraryNotFound, match="no library yet"):
        Catalog.open(place)
    with pytest.raises(LibraryNotFound, match=f"has a table {name} of another program"):
        Catalog.open(place, create=True)


def test_a_library_in_a_later_schema_of_the_search_path(
    place: DatabaseURL, catalog: Catalog
) -> None:
    put(catalog, 1)
    server().execute('CREATE SCHEMA IF NOT EXISTS "Anna"')
    also = DatabaseURL(place.secret.replace("search_path%3D", "search_path%3D%22Anna%22,"))
    with another(also) as other:
        assert other.counts().embedded == 1
        assert other.database.names() == catalog.database.names()
        assert other.database.size() == catalog.database.size() > 0
        busy = pytest.raises(LibraryBusy, match="being written")
        with other.database.exclusive(), busy, catalog.database.running():
            raise AssertionError
    put(catalog, 2)


def test_a_library_in_a_schema_with_capitals() -> None:
    server().execute('CREATE SCHEMA IF NOT EXISTS "Capital Letters"')
    named = DatabaseURL(server().url(options="-csearch_path%3D%22Capital%5C%20Letters%22"))
    with closing(Catalog.open(named, create=True)) as opened:
        put(opened, 1)
        assert "images" in opened.database.names() and opened.database.size()
    server().execute('DROP SCHEMA "Capital Letters" CASCADE')


def test_a_schema_that_does_not_exist_is_named_as_the_fault() -> None:
    nowhere = DatabaseURL(server().url(options="-csearch_path%3Dnowhere"))
    with pytest.raises(LibraryNotFound, match="leads to no schema; make one with CREATE SCHEMA"):
        Catalog.open(nowhere, create=True)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_lacks_characters_is_refused(encoding: str) -> None:
    name = f"narrow_{encoding.lower()}"
    server().execute(f"DROP DATABASE IF EXISTS {name}")
    server().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} LOCALE 'C'")
    with pytest.raises(InvalidValue, match=f"has the encoding {encoding}, not UTF8"):
        Catalog.open(DatabaseURL(server().url(name)), create=True)
    server().execute(f"DROP DATABASE {name}")


def test_the_encoding_of_the_environment_is_not_used(
    place: DatabaseURL, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(catalog, 1)
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    with another(place) as other:
        assert [model.name for model in other.models()] == [
            model.name for model in catalog.models()
        ]
        assert other.database.stamp("nothing") == ""


def test_a_user_who_may_not_read_is_not_told_of_writing(
    catalog: Catalog, place: DatabaseURL
) -> None:
    put(catalog, 1)
    server().execute("DROP ROLE IF EXISTS outsider")
    server().execute("CREATE ROLE outsider LOGIN")
    schema = catalog.rows("SELECT current_schema()::text")[0][0]
    server().execute(f"GRANT USAGE ON SCHEMA {schema} TO outsider")
    refused = pytest.raises(LibraryReadOnly, match="the server refuses this user .*permission")
    with Library.open(with_user(place.secret, "outsider")) as library, refused:
        library.status()
    server().execute("DROP OWNED BY outsider; DROP ROLE outsider")


def test_a_statement_that_the_server_stops_is_not_an_unreachable_server(
    catalog: Catalog,
) -> None:
    stopped = pytest.raises(LibraryBusy, match="stopped a statement .*statement timeout")
    with stopped, catalog.database.transaction() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 1")
        connection.exec_driver_sql("SELECT pg_sleep(60)")


def test_tables_of_another_program_are_left_alone(place: DatabaseURL) -> None:
    server().execute("CREATE TABLE images (a integer)", place.secret)
    with pytest.raises(LibraryNotFound, match="has a table images of another program"):
        Catalog.open(place, create=True)
    assert server().execute("SELECT * FROM images", place.secret) == []


def test_text_with_nul_is_kept_without_it(catalog: Catalog) -> None:
    put(catalog, 1)
    image = NewImage(b"n" * 16, 4, 3, "JPEG", None, Shot(camera="Box\0 Brownie"))
    writing.record(catalog, [], [image])
    assert catalog.rows("SELECT camera FROM shots WHERE image_id = 2") == [("Box Brownie",)]


# -- passwords -----------------------------------------------------------------------------------


@pytest.fixture
def locked() -> str:
    """The URL of a user with the password "se/cr@t", without it."""
    server().execute("DROP ROLE IF EXISTS locked")
    server().execute("CREATE ROLE locked LOGIN PASSWORD 'se/cr@t'")
    return with_user(server().url(), "locked")


def test_passwords_come_from_the_url_the_environment_or_a_file(
    locked: str, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(base / "cache"))

    def refused(url: str) -> str:
        with Library.open(url) as library, pytest.raises(LibraryUnreachable) as raised:
            library.status()
        return str(raised.value)

    def accepted(url: str) -> None:
        with Library.open(url) as library, pytest.raises(LibraryNotFound):
            library.status()

    assert "PGPASSWORD or ~/.pgpass" in refused(locked)
    right, wrong = (locked.replace("locked@", f"locked:{p}@") for p in ("se%2Fcr%40t", "hunter2"))
    accepted(right)
    assert "hunter2" not in refused(wrong) and "authentication failed" in refused(wrong)
    monkeypatch.setenv("PGPASSWORD", "se/cr@t")
    accepted(locked)
    monkeypatch.delenv("PGPASSWORD")
    (base / "pgpass").write_text("*:*:*:locked:se/cr@t\n")
    (base / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(base / "pgpass"))
    accepted(locked)


def test_passwords_are_never_shown(locked: str, home: Path) -> None:
    secret = "hunter2%21"
    url = locked.replace("locked@", f"locked:{secret}@")
    for place in (url, url.replace("hunter2%21", "") + f"&password={secret}"):
        held = library_place(place)
        assert "hunter2" not in f"{held} {held!r} {Library(held)!r}"
    for more in ([], ["--debug"]):
        for broken in (url, url.replace("?", "?port=x%zz&"), url.replace("@", "@h:x")):
            command = [
                sys.executable,
                "-m",
                "retrieval.cli.main",
                "--library",
                broken,
                "status",
                *more,
            ]
            done = subprocess.run(command, capture_output=True, text=True)
            assert done.returncode and "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "written", ["hun@ter", "hun/ter", "1/ter", "100% hunter", "hunter 2", "h/unter@x y"]
)
def test_no_part_is_shown_of_a_password_that_ends_the_url(written: str) -> None:
    """libpq takes the rest for the host or the database, and says so."""
    url = f"postgresql://anna:{written}@127.0.0.1:9/x"
    invalid = pytest.raises(InvalidValue, match="in its password, write @ as %40")
    with Library.open(url) as library, invalid as raised:
        library.status()
    assert "ter" not in str(raised.value).replace("write", "")
    assert raised.value.__cause__ is None


# -- the whole library ---------------------------------------------------------------------------


def without_ids(groups: Iterable[object]) -> list[str]:
    """The groups, without the numbers of their images: workers take turns in any order."""
    return [re.sub(r"Image\(id=\d+", "Image(", str(group)) for group in groups]


def test_a_library_on_a_server_answers_as_one_in_a_folder(
    place: DatabaseURL, indexed: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Library.open(indexed) as local, Library.open(place.secret, models.small) as remote:
        remote.index(indexed)
        for query in ("red", "a photo of a dog -cat", indexed / "large" / "red.png"):
            [one, other] = [
                [(m.path, round(m.score, 5)) for m in each.search(query)]
                for each in (local, remote)
            ]
            assert one == other
        labels = ["a dog", "a red car"]
        here, there = (
            {each.path: each.labels for each in of.tag(indexed, labels)} for of in (local, remote)
        )
        assert here.keys() == there.keys() and len(here) == 12
        for path, likely in here.items():
            assert likely == pytest.approx(there[path], abs=1e-4)
        assert list(local.failures()) == list(remote.failures())
        one, other = (without_ids(each.duplicates()) for each in (local, remote))
        assert one == other
        assert local.status().counts == remote.status().counts
        assert remote.status().where == str(place) and remote.check() == []
        with pytest.raises(InvalidValue, match="pg_dump"):
            remote.backup(indexed / "copy")
        assert remote.forget(indexed / "small") == 7
        assert remote.relocate(indexed, indexed) == 7
