"""Every source lists, looks at and reads its files in the same way."""

import io
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from retrieval.address import RemotePath
from retrieval.errors import SourceUnavailable, UnreadablePicture
from retrieval.records import Root
from retrieval.sources.entry import Entry, Part
from retrieval.sources.opening import read, source_of
from retrieval.sources.options import as_arguments, parsed, stored
from tests.retrieval.sources.conftest import files_of


@dataclass(frozen=True)
class Place:
    """A root, and how to write to it."""

    root: Root
    write: Callable[[str, bytes], None]
    remove: Callable[[str], None]


def of_fsspec(files: Any, address: str, options: tuple[tuple[str, str], ...]) -> Place:
    return Place(
        Root(1, RemotePath(address), True, options=options),
        lambda name, data: files.pipe(f"{address}/{name}", data),
        lambda name: files.rm(f"{address}/{name}"),
    )


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, base: Path) -> Iterator[Place]:
    if request.param == "folder":

        def write(name: str, data: bytes) -> None:
            (base / name).parent.mkdir(parents=True, exist_ok=True)
            (base / name).write_bytes(data)

        yield Place(Root(1, base, True), write, lambda name: (base / name).unlink())
    elif request.param == "memory":
        memory = pytest.importorskip("fsspec").filesystem("memory")
        yield of_fsspec(memory, f"memory://{uuid.uuid4().hex}", ())
    else:
        endpoint, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")
        options = (("endpoint_url", endpoint),)
        yield of_fsspec(files_of(endpoint), f"s3://{bucket}/photos", options)


def test_files_are_listed_looked_at_and_read(place: Place) -> None:
    place.write("a b#é.jpg", b"12345")
    place.write("sub/deep/b.png", b"67")
    source = source_of(place.root)
    assert source.kind(b"") == "folder" and source.kind(b"sub") == "folder"
    assert source.kind("a b#é.jpg".encode()) == "file" and source.kind(b"nothing") is None
    listed = dict(source.listed(b""))
    assert set(listed) == {"a b#é.jpg".encode(), b"sub"} and listed[b"sub"] is None
    found = listed["a b#é.jpg".encode()]
    assert found is not None and found.size == 5 and found.mtime_ns > 10**18
    assert source.look_at(found.path) == found
    assert source.look_at(b"sub") is None and source.look_at(b"nothing") is None
    assert [path for path, _ in source.listed(b"sub/deep")] == [b"sub/deep/b.png"]
    assert read(Entry.of_file(place.root, found.path, 5)) == b"12345"
    part = Entry.of(place.root.path, found.path, Part(1, 3), place.root.options)
    assert read(part) == b"234"
    with source.open(found.path) as file:
        assert file.read(2) == b"12" and file.seek(4) == 4 and file.read() == b"5"


def test_another_content_of_the_same_size_is_seen(place: Place) -> None:
    place.write("a.jpg", b"12345")
    source = source_of(place.root)
    before = source.look_at(b"a.jpg")
    place.write("a.jpg", b"54321")
    assert source.look_at(b"a.jpg") != before


def test_what_is_gone_is_said_to_be(place: Place) -> None:
    place.write("a.jpg", b"12345")
    place.remove("a.jpg")
    with pytest.raises(FileNotFoundError):
        read(Entry.of_file(place.root, b"a.jpg", 5))


def test_what_cannot_be_reached_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = (("endpoint_url", "http://127.0.0.1:9"), ("config_kwargs.retries.max_attempts", "0"))
    for address, options, said in (
        (f"s3://{bucket}", nobody, "cannot reach s3://.*: Could not connect"),
        ("quark://bucket", (), "quark:// is not a known kind of address"),
        ("s3://bucket", (("colour", "red"),), "colour"),
    ):
        root = Root(1, RemotePath(address), True, options=options)
        with pytest.raises(SourceUnavailable, match=said) as error:
            source_of(root).kind(b"")
        assert "\n" not in str(error.value)
    with pytest.raises(UnreadablePicture, match="it cannot be read"):
        read(Entry(f"s3://{bucket}/a.jpg".encode(), None, nobody))


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceUnavailable, match=r'pip install ".\[cluster\]"'):
        source_of(Root(1, RemotePath("gs://bucket/x"), True, options=(("anon", "true"),)))


def test_options_are_read_and_secrets_are_not_written_down() -> None:
    options = parsed(
        ["endpoint_url=http://x:1/?a=b", "secret=s3cr3t", "client_kwargs.verify=false"]
    )
    assert as_arguments(options) == {
        "endpoint_url": "http://x:1/?a=b",
        "secret": "s3cr3t",
        "client_kwargs": {"verify": False},
    }
    assert stored(options) == '{"endpoint_url": "http://x:1/?a=b"}'
    assert "s3cr3t" not in repr(Root(1, RemotePath("s3://b"), True, options=options))
    for wrong in ("endpoint_url", "=x"):
        with pytest.raises(Exception, match="write NAME=VALUE"):
            parsed([wrong])


def test_paths_of_addresses() -> None:
    path = RemotePath("s3://bucket/holiday")
    assert str(path / "a.jpg") == os.fspath(path / "a.jpg") == "s3://bucket/holiday/a.jpg"
    assert str(path.parent) == "s3://bucket" and (path / "a.jpg").name == "a.jpg"
    assert path == RemotePath("s3://bucket/holiday/") and not path.exists()
    assert io.BytesIO(os.fsencode(path)).read() == b"s3://bucket/holiday"
