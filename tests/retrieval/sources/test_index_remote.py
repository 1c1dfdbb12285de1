"""Runs over objects at addresses: unchanged ones cost no read, and no other place is touched."""

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from retrieval import Library
from retrieval.address import RemotePath
from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.decoding.kinds.names import in_words
from retrieval.errors import PathNotFound, SourceUnavailable
from retrieval.indexing.targets import named
from retrieval.sources import remote
from tests.retrieval.small import as_counts, contents, paint, run_index
from tests.retrieval.sources.conftest import files_of
from tests.retrieval.sources.test_tar_shard import pack


@dataclass
class Bucket:
    """A place for objects, and the options to reach it."""

    address: str
    files: Any
    scratch: Path
    options: list[str] = field(default_factory=list)

    @property
    def path(self) -> RemotePath:
        return RemotePath(self.address)

    def paint(self, name: str, seed: int) -> None:
        data = paint(self.scratch / f"{seed}.png", seed).read_bytes()
        self.files.pipe(f"{self.address}/{name}", data)

    def index(self, catalog: Catalog, *names: str, **more: Any) -> dict[str, int]:
        paths = [f"{self.address}/{name}" if name else self.address for name in names]
        found = named(catalog, paths, self.options) if paths else []
        summary = run_index(catalog, found, **more)
        self.problems = summary.problems
        return as_counts(summary)


@pytest.fixture(params=["memory", "s3"])
def photos(request: pytest.FixtureRequest, base: Path) -> Iterator[Bucket]:
    if request.param == "memory":
        memory = pytest.importorskip("fsspec").filesystem("memory")
        held = Bucket(f"memory://{uuid.uuid4().hex}", memory, base)
    else:
        endpoint, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
        held = Bucket(
            f"s3://{bucket}/photos", files_of(endpoint), base, [f"endpoint_url={endpoint}"]
        )
    for seed in range(3):
        held.paint(f"{'sub/' if seed else ''}{seed}.png", seed)
    held.files.pipe(f"{held.address}/notes.txt", b"none")
    yield held


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were read from now on."""
    read: list[str] = []
    plain = remote.Object.read

    def noted(self: remote.Object, part: Any = None) -> bytes:
        read.append(self._address)
        return plain(self, part)

    monkeypatch.setattr(remote.Object, "read", noted)
    return read


@pytest.mark.parametrize("workers", [0, 1])
def test_only_new_and_changed_objects_are_read(
    catalog: Catalog, photos: Bucket, reads: list[str], workers: int
) -> None:
    assert photos.index(catalog, "", workers=workers) == {"new": 3, "encoded": 3}
    [root] = catalog.roots()
    assert str(root.path) == photos.address and root.entire and len(reads) == 3
    assert sorted(contents(catalog))[0] == f"{photos.address}/0.png"
    reads.clear()
    assert photos.index(catalog) == {"unchanged": 3} and reads == []
    photos.paint("0.png", 7)
    photos.paint("new/8.png", 8)
    photos.files.rm(f"{photos.address}/sub/1.png")
    assert photos.index(catalog) == {
        "changed": 1,
        "new": 1,
        "removed": 1,
        "unchanged": 1,
        "encoded": 2,
    }
    assert sorted(reads) == [f"{photos.address}/0.png", f"{photos.address}/new/8.png"]


def test_a_copy_is_known_by_its_content(catalog: Catalog, photos: Bucket, base: Path) -> None:
    paint(base / "local/0.png", 0)
    run_index(catalog, [base / "local"])
    assert photos.index(catalog, "") == {"new": 2, "copied": 1, "encoded": 2}
    image = catalog.images.by_id([1])[1]
    assert [str(path) for path in image.paths] == [
        str(base / "local/0.png"),
        f"{photos.address}/0.png",
    ]


def test_no_bucket_is_said_to_have_moved(catalog: Catalog, photos: Bucket, base: Path) -> None:
    photos.index(catalog, "")
    paint(base / "local/0.png", 0)
    assert run_index(catalog, [base / "local"]).problems == ()
    shutil.rmtree(base / "local")
    [said] = run_index(catalog, [base / "local"]).problems
    assert "is missing" in said and photos.address not in said


@pytest.mark.parametrize("photos", ["s3"], indirect=True)
def test_strange_keys_are_read_or_counted(catalog: Catalog, photos: Bucket) -> None:
    names = ["q?x.png", "a%20b.png", "100% #1.png", "br[1].png", "é/ü.png"]
    for seed, name in enumerate([*names, "sub//9.png", "/8.png"], 10):
        photos.paint(name, seed)
    photos.files.pipe(f"{photos.address}/marker/", b"")
    summary = run_index(catalog, named(catalog, [photos.address], photos.options))
    found = {path.removeprefix(f"{photos.address}/") for path in contents(catalog)}
    assert found == {"0.png", "sub/1.png", "sub/2.png", *names}
    assert "2 hidden folders" in in_words(summary.left_out)


def test_single_objects_parts_and_exclusions(catalog: Catalog, photos: Bucket) -> None:
    assert photos.index(catalog, "sub/1.png") == {"new": 1, "encoded": 1}
    assert photos.index(catalog) == {"unchanged": 1}
    assert photos.index(catalog, "", exclude=["2.*"]) == {"new": 1, "unchanged": 1, "encoded": 1}
    photos.paint("sub/9.png", 9)
    photos.paint("10.png", 10)
    assert photos.index(catalog, "sub") == {"new": 1, "unchanged": 1, "encoded": 1}
    [root] = catalog.roots()
    assert roots.forget(catalog, root.path / "sub") == 2
    assert photos.index(catalog) == {"new": 1, "unchanged": 1, "encoded": 1}
    assert roots.forget(catalog, root.path) == 2 and catalog.roots() == []


def test_shards_are_read_in_one_pass(
    catalog: Catalog, photos: Bucket, base: Path, reads: list[str]
) -> None:
    for number in range(2):
        held = {f"{n}.png": paint(base / f"m{n}.png", n).read_bytes() for n in (number, 5 + number)}
        held[f"{number}.txt"] = b"in a shard"
        data = pack(base / "packed.tar", held).read_bytes()
        photos.files.pipe(f"{photos.address}/shards/0{number}.tar", data)
    wanted = {"new": 4, "encoded": 4}
    assert photos.index(catalog, "shards/{00..01}.tar") == wanted and reads == []
    assert photos.index(catalog, "shards/*.tar") == {"unchanged": 4}
    [entry] = catalog.containers.entries([1])[1]
    assert entry.part is not None and entry.path.endswith(b".tar")
    photos.files.pipe(f"{photos.address}/shards/00.tar", data[:2_000])
    counts = photos.index(catalog)
    assert counts["failed"] == 1 and len(contents(catalog)) == 6
    photos.files.rm(f"{photos.address}/shards/01.tar")
    assert photos.index(catalog)["removed"] == 2
    assert photos.index(catalog, "shards/{00..02}.tar") == {"unchanged": 4}
    missing = [f"{photos.address}/shards/0{number}.tar: no such file" for number in (1, 2)]
    assert set(missing) < set(photos.problems)


def test_a_bucket_that_is_out_of_reach_keeps_its_pictures(
    catalog: Catalog, photos: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos.index(catalog, "")

    def refuse(self: remote.Remote, path: bytes) -> None:
        raise SourceUnavailable(f"cannot reach {photos.address}: no route to host")

    monkeypatch.setattr(remote.Remote, "kind", refuse)
    assert photos.index(catalog) == {} and len(contents(catalog)) == 3
    assert photos.problems == (f"cannot reach {photos.address}: no route to host",)
    monkeypatch.undo()
    photos.files.rm(photos.address, recursive=True)
    assert photos.index(catalog) == {} and len(contents(catalog)) == 3
    assert "its 3 known files are kept" in photos.problems[0]
    assert "index the new address" in photos.problems[0] and "relocate" not in photos.problems[0]


def test_what_is_not_there_is_refused(catalog: Catalog, photos: Bucket) -> None:
    with pytest.raises(PathNotFound, match="no such file or folder"):
        photos.index(catalog, "nothing")
    assert catalog.roots() == []


def test_secrets_are_not_in_the_catalog(catalog: Catalog, photos: Bucket) -> None:
    if photos.options:
        photos.options += ["key=testing", "secret=t0psecret"]
        photos.index(catalog, "")
        assert catalog.rows("SELECT options FROM roots") == [
            (f'{{"endpoint_url": "{photos.options[0].partition("=")[2]}"}}',)
        ]
        assert b"t0psecret" not in (catalog.local_folder / "catalog.sqlite").read_bytes()


def test_a_library_searches_and_finds_similar_pictures(
    home: Path, photos: Bucket, models: Any
) -> None:
    with Library.open(home / "lib", models.small) as library:
        library.index(photos.address, storage_options=photos.options, workers=0)
        found = library.search("a picture", folder=photos.address + "/sub")
        assert {str(match.path) for match in found} == {
            f"{photos.address}/sub/{seed}.png" for seed in (1, 2)
        }
        similar = library.similar(f"{photos.address}/0.png")
        assert len(similar) == 2
        with pytest.raises(PathNotFound):
            library.similar(f"{photos.address}/nothing.png")
        assert [root.is_present for root in library.status().roots] == [True]
        with pytest.raises(PathNotFound, match="run `retrieve index`"):
            library.relocate(photos.address, home)
        library.index(model=models.other, workers=0)
        assert library.search("a picture")


def test_copies_are_reported(home: Path, photos: Bucket, models: Any) -> None:
    photos.paint("again.png", 0)
    shutil.copy(photos.scratch / "0.png", home / "own.png")
    with Library.open(home / "lib", models.small) as library:
        library.index([photos.address, home / "own.png"], storage_options=photos.options, workers=0)
        [group] = library.duplicates(1)
        assert len(group.others) == 2
