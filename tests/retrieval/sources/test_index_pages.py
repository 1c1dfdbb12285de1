"""Folders of web servers: listed by their pages, unchanged files not read, and never elsewhere."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from retrieval import Library
from retrieval.catalog.reading import Catalog
from retrieval.errors import FailureCode, PathNotFound, SourceUnavailable, UnreadablePicture
from retrieval.indexing.targets import add_lists, named
from retrieval.sources.opening import read
from retrieval.sources.web import guest, site
from retrieval.sources.web.index_page import entries, is_page_of, readable
from tests import interrupts
from tests.retrieval.cli.test_cli import ok, refused
from tests.retrieval.conftest import paint as paint_large
from tests.retrieval.small import as_counts, contents, paint, run_index
from tests.retrieval.sources.test_tar_shard import pack

LONG = 300.0  # seconds that a server does not answer

APACHE = """<html><head><title>Index of /p</title></head><body><table>
<th><a href="?C=N;O=D">Name</a></th><a href="/">Parent Directory</a>
<a href="a.jpg">a.jpg</a> <a href='b%20c.JPG'>b c</a> <a href="/p/abs.png">x</a>
<a href="sub/">sub/</a> <a href="./dot/">.</a> <a href="http://h.example/p/full.gif">x</a>
<a href="100%25.jpg">x</a> <a href="x%3Fy.jpg">x</a> <a href="%C3%A4.jpg">x</a>
<a href="%ff.jpg">x</a> <a href="../up.jpg">up</a> <a href="%2e%2e/">up</a>
<a href="sub/deep.jpg">x</a>
<a href="#top">x</a> <a href="http://other.example/p/o.jpg">x</a>
<a href="//h.example:81/p/port.jpg">x</a>
<a href="ftp://h.example/p/f.jpg">x</a> <a href="mailto:a@b">x</a> <a href="a.jpg?size=2">x</a>
<a href="http://h.example:x/">x</a> <a href="">x</a> <a>x</a>
<a href="a%2Fb.jpg">x</a> <A HREF=a.jpg>
"""


def test_a_page_has_what_lies_directly_below_it() -> None:
    held = entries("http://h.example/p/", APACHE)
    files = [os.fsdecode(name) for name, is_folder in held.items() if not is_folder]
    assert files == [
        *("a.jpg", "b c.JPG", "abs.png", "full.gif", "100%25.jpg", "x%3Fy.jpg"),
        *("ä.jpg", "%FF.jpg", "a%2Fb.jpg"),
    ]
    assert [name for name, is_folder in held.items() if is_folder] == [b"sub", b"dot"]
    assert entries("http://h/p", '<base href="/p/"><a href="a.jpg">') == {b"a.jpg": False}
    assert readable("/%C3%A4%20%25/%7E") == "/ä %25/~"


@pytest.mark.parametrize(
    ("answered", "is_it"),
    [
        ("http://h/a%20b/", True),
        ("https://h/a b/", True),
        ("https://h:8443/a b/", False),
        ("http://h/", False),
        ("http://h/a b/index.html", False),
        ("http://other/a b/", False),
    ],
)
def test_a_page_stays_that_of_its_folder(answered: str, is_it: bool) -> None:
    assert is_page_of("http://h/a b/", answered) is is_it


class Server(SimpleHTTPRequestHandler):
    """Python's own server, with its own index pages, and what goes wrong on servers."""

    asked: list[str]
    broken: dict[str, int]  # path -> status
    redirects: dict[str, str]
    has_head = True
    has_pages = True
    has_parts = False

    def do_GET(self) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        where = urlsplit(self.path).path
        if where.startswith(("/hangs/", "/stalls/")):
            self.answer_slowly(where)
        elif where in self.redirects:
            self.send_response(302)
            self.send_header("Location", self.redirects[where])
            self.end_headers()
        elif where.endswith("/") and not self.has_pages:
            self.send_error(404)
        elif where in self.broken:
            self.send_error(self.broken[where])
        elif where.endswith(".tar") and self.has_parts:
            self.part(Path(self.translate_path(self.path)).read_bytes())
        elif self.command == "HEAD" and not self.has_head:
            self.send_error(405)
        elif where.startswith("/endless/") and where.endswith("/"):
            self.answer(b'<a href="more/">more</a> <a href="other/">other</a>')
        elif self.command == "HEAD":
            super().do_HEAD()
        else:
            super().do_GET()

    do_HEAD = do_GET  # noqa: N815

    def answer_slowly(self, where: str) -> None:
        """Answer a folder at once, and its pictures after long, or not at all."""
        if where == "/stalls/1.png" and self.command == "GET":
            threading.Event().wait(LONG)
        elif where.startswith("/hangs/") and where != "/hangs/" and self.command == "HEAD":
            threading.Event().wait(30)
            self.answer(b'<a href="1.png">1</a>')
        else:
            self.answer(b'<a href="1.png">1</a>' if where.endswith("/") else b"")

    def part(self, data: bytes) -> None:
        """Send the part of a file that is asked for."""
        wanted = self.headers.get("Range")
        first, last = wanted.removeprefix("bytes=").split("-") if wanted else ("0", len(data))
        part = data[int(first) : int(last) + 1]
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part if self.command == "GET" else b"")

    def answer(self, page: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=x-unknown")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page if self.command == "GET" else b"")

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


class Photos:
    """A folder that a server of this machine shows at an address."""

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.host = host
        self.address = f"{host}/photos"

    def index(
        self, catalog: Catalog, *names: str, allow: bool = True, **more: Any
    ) -> dict[str, int]:
        paths = [f"{self.address}{name}" for name in names]
        web = ["allow_private=true"] if allow else []
        self.summary = run_index(catalog, named(catalog, paths, (), web) if paths else [], **more)
        return as_counts(self.summary)

    def gets(self) -> set[str]:
        """Return the pictures that were read since the last call."""
        read = {each.removeprefix("GET ") for each in Server.asked if each.startswith("GET ")}
        Server.asked.clear()
        return {each for each in read if each.endswith((".png", ".tar"))}


@pytest.fixture
def photos(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Photos]:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr("retrieval.sources.options._given", {})
    guest.visitor.cache_clear()
    Server.asked, Server.broken, Server.redirects, Server.has_head = [], {}, {}, True
    folder = base / "www" / "photos"
    for name in ("0.png", "ä b/1.png", "ä b/deep/100% #2?.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        paint(folder / name, int(name[-5]) if name[-5].isdigit() else 2)
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_text("none")

    def handler(*arguments: Any) -> Server:
        return Server(*arguments, directory=str(base / "www"))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Photos(folder, f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("workers", [0, 1])
def test_only_new_and_changed_pictures_are_read(
    catalog: Catalog, photos: Photos, workers: int
) -> None:
    assert photos.index(catalog, "", workers=workers) == {"new": 3, "encoded": 3}
    assert sorted(contents(catalog)) == [
        f"{photos.address}/0.png",
        f"{photos.address}/ä b/1.png",
        f"{photos.address}/ä b/deep/100%25 %232%3F.png",
    ]
    assert len(photos.gets()) == 3
    assert photos.index(catalog) == {"unchanged": 3} and photos.gets() == set()
    paint(photos.folder / "0.png", 7)
    os.utime(photos.folder / "0.png", (1, 1))
    paint(photos.folder / "new/8.png", 8)
    (photos.folder / "ä b/1.png").unlink()
    assert photos.index(catalog) == {
        **{"changed": 1, "new": 1, "removed": 1, "unchanged": 1, "encoded": 2}
    }
    assert photos.gets() == {"/photos/0.png", "/photos/new/8.png"}
    assert photos.index(catalog, "/new") == {"unchanged": 1}
    assert photos.index(catalog, "", exclude=["deep"]) == {"removed": 1, "unchanged": 2}


def test_what_a_server_does_not_state_is_read(catalog: Catalog, photos: Photos) -> None:
    Server.has_head = False
    assert photos.index(catalog, "") == {"new": 3, "encoded": 3}
    photos.gets()
    assert photos.index(catalog) == {"unchanged": 3} and len(photos.gets()) == 3


def test_private_addresses_are_refused_with_the_remedy(
    catalog: Catalog, photos: Photos, home: Path
) -> None:
    for name in ("", "/0.png", "/a.tar", "/urls.csv"):
        with pytest.raises(SourceUnavailable) as error:
            photos.index(catalog, name, allow=False)
            raise SourceUnavailable(photos.summary.problems[0])
        assert "127.0.0.1 is not a public address; use --allow-private" in str(error.value)
    assert Server.asked == []
    said = refused("index", photos.address)
    assert said.count("\n") <= 1 and "use --allow-private to read it" in said


def test_leave_is_remembered_for_a_root(photos: Photos, home: Path) -> None:
    paint_large(photos.folder / "9.png", "red", 9)
    ok("index", f"{photos.address}/9.png", "--allow-private", "--workers", 0)
    with Library.open() as library:
        [root] = library.catalog.roots()
        assert dict(root.options) == {"allow_private": "true"} and not root.entire
        assert read(library.catalog.containers.entries([1])[1][0])
        assert library.index().unchanged == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("retrieval.sources.options._given", {})  # as in another process
        with Library.open() as library:
            assert library.index().unchanged == 1
            assert read(library.catalog.containers.entries([1])[1][0])
            with pytest.raises(SourceUnavailable, match="use --allow-private"):
                library.index(f"{photos.address}/9.png", allow_private=False)


def test_no_redirect_leads_to_what_is_not_public(
    photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.1 counts as public here, and 127.0.0.2 does not."""
    monkeypatch.setattr("retrieval.sources.web.fetch.is_public", lambda ip: ip == "127.0.0.1")
    port = photos.host.rpartition(":")[2]
    for name in ("/photos/0.png", "/photos/"):
        Server.redirects[name] = f"http://127.0.0.2:{port}/photos/0.png"
    source = site.WebFolder(photos.address)
    with pytest.raises(SourceUnavailable, match="127.0.0.2 is not a public address"):
        source.look_at(b"0.png")
    with pytest.raises(SourceUnavailable, match="127.0.0.2 is not a public address"):
        list(source.listed(b""))
    with pytest.raises(UnreadablePicture, match="127.0.0.2 is not a public address"):
        guest.guest_of(()).fetch(f"{photos.address}/0.png")
    Server.redirects["/photos/"] = f"{photos.host}/"
    with pytest.raises(SourceUnavailable, match="leads elsewhere"):
        list(source.listed(b""))


def test_errors_of_a_server_are_failures_and_lose_nothing(catalog: Catalog, photos: Photos) -> None:
    Server.broken = {"/photos/0.png": 500}
    assert photos.index(catalog, "") == {"new": 2, "failed": 1, "encoded": 2}
    [failed] = catalog.files.failures()
    assert failed.code is FailureCode.UNREADABLE and "500" in failed.reason
    Server.broken = {}
    assert photos.index(catalog)["encoded"] == 1
    for broken in ({"/photos/": 500}, {"/photos/%C3%A4%20b/": 502, "/photos/%C3%A4%20b": 502}):
        Server.broken = broken
        counts = photos.index(catalog)
        assert "removed" not in counts and len(photos.summary.problems) == 1, counts
    Server.broken = {"/photos/": 404, "/photos": 404}
    assert "removed" not in photos.index(catalog)
    with pytest.raises(PathNotFound):
        photos.index(catalog, "/nothing")


def test_endless_pages_are_bounded(
    catalog: Catalog, photos: Photos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "MAX_PAGES", 50)
    photos.address = f"{photos.host}/endless"
    assert photos.index(catalog, "") == {}
    assert "more than 50 folders" in " ".join(photos.summary.problems)
    monkeypatch.setattr(site, "MAX_DEPTH", 4)
    photos.index(catalog, "")
    assert len(Server.asked) < 300 and "4 folders deep" in " ".join(photos.summary.problems)


def test_a_link_in_a_circle_is_followed_once(catalog: Catalog, photos: Photos) -> None:
    (photos.folder / "ä b/again").symlink_to(photos.folder)
    assert photos.index(catalog, "") == {"new": 3, "encoded": 3}
    [problem] = photos.summary.problems
    assert f"it shows what {photos.address} does" in problem
    assert photos.index(catalog, "") == {"unchanged": 3}


@pytest.mark.parametrize("has_parts", [False, True])
def test_shards_and_lists_of_a_server(
    catalog: Catalog, photos: Photos, has_parts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "has_parts", has_parts)
    data = (photos.folder / "0.png").read_bytes()
    pack(photos.folder / "a.tar", {"x.png": data})
    assert photos.index(catalog, "/a.tar") == {"new": 1, "encoded": 1}
    assert photos.index(catalog) == {"unchanged": 1}
    [entry] = catalog.containers.entries([1])[1]
    assert read(entry) == data and entry.part
    found = named(catalog, f"{photos.address}/*.tar")
    assert [str(path) for path in found] == [f"{photos.address}/a.tar"]


def test_a_list_of_a_server(catalog: Catalog, photos: Photos) -> None:
    (photos.folder / "urls.csv").write_text(f"url\n{photos.address}/%C3%A4%20b/1.png\n")
    assert photos.index(catalog, "/urls.csv") == {"failed": 1}
    [failed] = catalog.files.failures()
    assert "use --allow-private" in failed.reason  # allowed for the list's own address alone
    options = {"allow_private": True}
    add_lists(catalog, named(catalog, f"{photos.address}/urls.csv"), options)
    assert photos.index(catalog, "/urls.csv", again=True) == {"changed": 1, "encoded": 1}


def test_ctrl_c_waits_for_no_server(photos: Photos, home: Path) -> None:
    command = ["index", f"{photos.host}/hangs", "--allow-private", "--workers", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli.main", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=interrupts.hear,
    )
    while not any(each.startswith("HEAD /hangs/1") for each in Server.asked):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=10)
    assert process.returncode == 130 and b"Traceback" not in out
