"""Pictures in shards and at addresses are filtered, shown and served as those of folders are."""

import io
import shutil
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import shell_complete
from fastapi.testclient import TestClient
from PIL import Image

from retrieval import Library
from retrieval.cli.main import cli
from retrieval.web.app import application
from retrieval.web.state import Site
from tests.retrieval.cli.test_cli import ok, refused
from tests.retrieval.conftest import paint
from tests.retrieval.sources.test_tar_shard import pack
from tests.retrieval.web.conftest import ADDRESS, shown


@pytest.fixture
def address() -> Iterator[str]:
    """A place for objects in this process's memory."""
    memory = pytest.importorskip("fsspec").filesystem("memory")
    address = f"memory://{uuid.uuid4().hex}"
    yield address
    memory.rm(address, recursive=True)


@pytest.fixture
def library(home: Path, address: str) -> Iterator[Library]:
    """A picture in a folder, one in a shard, one at an address, and one in a shard there."""
    import fsspec

    memory = fsspec.filesystem("memory")
    colours = ["red", "green", "blue", "yellow"]
    red, *others = [paint(home / f"{c}.png", c, n) for n, c in enumerate(colours)]
    green, blue, yellow = (path.read_bytes() for path in others)
    for path in others:
        path.unlink()
    (home / "photos").mkdir()
    shutil.move(red, home / "photos" / "red.png")
    pack(home / "shards" / "0.tar", {"green.png": green})
    memory.pipe(f"{address}/some where/blue.png", blue)
    packed = pack(home / "packed.tar", {"yellow.png": yellow})
    memory.pipe(f"{address}/1.tar", packed.read_bytes())
    packed.unlink()
    ok("index", "photos", "shards/0.tar", address, f"{address}/1.tar", "--workers", 0)
    with Library.open() as library:
        yield library


def found(*arguments: object) -> set[str]:
    paths = ok("search", "a spot", *arguments, "--paths", "--limit", 9).splitlines()
    return {path.rpartition("/")[2] for path in paths}


def test_filters_name_shards_and_addresses(library: Library, home: Path, address: str) -> None:
    inside = {
        "shards/0.tar": {"green.png"},
        str(home / "shards" / "0.tar"): {"green.png"},
        "0.tar": {"green.png"},
        "shards": {"green.png"},
        address: {"blue.png", "yellow.png"},
        f"{address}/": {"blue.png", "yellow.png"},
        f"{address}/some where": {"blue.png"},
        f"{address}/1.tar": {"yellow.png"},
        f"{address}/1.tar/yellow.png": {"yellow.png"},
        "1.tar": {"yellow.png"},
    }
    for folder, names in inside.items():
        assert found("--in", folder) == names, folder
        assert found(f'in:"{folder}"') == names, folder
        if " " not in folder:
            assert found(f"in:{folder}") == names, folder
    for nowhere in ("shards/1.tar", f"{address}x", "s3://bucket/nothing"):
        assert "is not in the library" in refused("search", "x", "--in", nowhere)


def test_all_are_drawn(library: Library, home: Path, address: str) -> None:
    drawn = ok("search", "a spot", "--preview=blocks", "--limit", 4)
    rows = [line for line in drawn.splitlines() if "▀" in line or "▄" in line]
    assert rows and all(f"{c}.png" in drawn for c in ("red", "green", "blue", "yellow"))
    ok("search", "a spot", "--sheet", "found.html", "--limit", 4)
    page = (home / "found.html").read_text()
    assert page.count("data:image/") == 4 and 'class="gone"' not in page
    assert f'href="{address}/some%20where/blue.png"' in page
    ok("search", "a spot", "--sheet", "found.png", "--limit", 4)
    with Image.open(home / "found.png") as sheet:
        seen = {pixel for _, pixel in sheet.convert("RGB").getcolors(1 << 24) or ()}
    for colour in ((255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0)):
        assert any(
            max(abs(a - b) for a, b in zip(colour, each, strict=True)) < 40 for each in seen
        ), colour


def test_all_are_served(library: Library, home: Path) -> None:
    site = Site(library)
    with TestClient(application(site), base_url=ADDRESS, headers=shown(site)) as client:
        page = client.get("/api/search", params={"q": "a spot", "limit": 9}).json()
        names = set()
        for match in page["matches"]:
            names.add(match["path"].rpartition("/")[2])
            thumbnail = client.get(f"/api/pictures/{match['id']}/thumbnail")
            assert thumbnail.status_code == 200 and thumbnail.content[8:12] == b"WEBP"
            original = client.get(f"/api/pictures/{match['id']}/original")
            assert original.status_code == 200 and original.headers["content-type"] == "image/png"
            with Image.open(io.BytesIO(original.content)) as picture:
                assert picture.size == (48, 36)
        assert names == {"red.png", "green.png", "blue.png", "yellow.png"}


def test_completion_does_not_connect(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a library on a server: there would be a password to ask for, and a network to wait for."""
    asked = list[object]()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("RETRIEVE_LIBRARY", f"postgresql://anna@127.0.0.1:{port}/photos")
        for option in ("--in", "--camera", "--format"):
            monkeypatch.setenv("COMP_WORDS", f"retrieve search {option} x")
            monkeypatch.setenv("COMP_CWORD", "3")
            assert shell_complete(cli, {}, "retrieve", "_RETRIEVE_COMPLETE", "bash_complete") == 0
        server.settimeout(0.05)
        with pytest.raises(TimeoutError):
            asked.append(server.accept())
    assert asked == [] and capfd.readouterr().err == ""
