"""Downloads from a real server on this machine, one that can be told to misbehave."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clipmodel.errors import DownloadError
from clipmodel.hub import download as module
from clipmodel.hub.download import download

BODY = bytes(range(256)) * 40_000  # ten pieces of what is read at once
SHA256 = hashlib.sha256(BODY).hexdigest()


@dataclass
class Server:
    """What it serves and how, and which ranges it was asked for."""

    address: str = ""
    body: bytes = BODY
    ranges: bool = True
    length: bool = True
    stop_after: int | None = None  # bytes, then it hangs up
    redirect: str | None = None
    silent: bool = False  # says what is to come, and then nothing
    endless: bool = False
    asked: list[str | None] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.address}/model.pt"


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if told.redirect is not None and self.path == "/model.pt":
                self.send_response(302)
                self.send_header("Location", told.redirect)
                self.end_headers()
                return
            asked = self.headers.get("Range")
            told.asked.append(asked)
            start = int(asked[6:-1]) if asked and told.ranges else 0
            if start and start >= len(told.body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                span = f"bytes {start}-{len(told.body) - 1}/{len(told.body)}"
                self.send_header("Content-Range", span)
            if told.length:
                self.send_header("Content-Length", str(len(told.body) - start))
            self.end_headers()
            if told.silent:
                told.go_on.wait(timeout=30)
            with suppress(ConnectionError):
                while told.endless:
                    self.wfile.write(told.body)
            with suppress(ConnectionError):  # who asked may have heard enough
                self.wfile.write(told.body[start : told.stop_after])

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        told.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield told
        told.go_on.set()
        running.shutdown()
        thread.join()


def fetch(server: Server, target: Path, sha256: str = SHA256) -> None:
    download(server.url, sha256, target, progress=False)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_arrives_whole_and_nothing_else(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path / "models" / "model.pt")
    assert (tmp_path / "models" / "model.pt").read_bytes() == BODY
    assert left(tmp_path / "models") == ["model.pt"]


def test_a_bar_is_shown(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download(server.url, SHA256, tmp_path / "model.pt", label="ViT-B/32")
    assert "ViT-B/32: 100%" in capsys.readouterr().err


def test_an_interrupted_download_goes_on(server: Server, tmp_path: Path) -> None:
    server.stop_after = 3_000_000
    with pytest.raises(DownloadError, match="3,000,000 of 10,240,000 bytes.*next attempt resumes"):
        fetch(server, tmp_path / "model.pt")
    assert left(tmp_path) == ["model.pt.part"]
    server.stop_after = None
    fetch(server, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BODY
    assert server.asked == [None, "bytes=3000000-"]
    assert left(tmp_path) == ["model.pt"]


def test_a_server_that_ignores_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "model.pt.part").write_bytes(b"from another day")
    fetch(server, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BODY


@pytest.mark.parametrize("kept", [BODY, BODY + b"more"])
def test_a_part_that_is_already_as_long(server: Server, tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "model.pt.part").write_bytes(kept)
    fetch(server, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BODY
    assert left(tmp_path) == ["model.pt"]


def test_a_body_without_a_length(server: Server, tmp_path: Path) -> None:
    server.length = False
    fetch(server, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BODY


def test_a_wrong_sum_says_so_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match=f"has the sha256 {SHA256}, not 00ff"):
        fetch(server, tmp_path / "model.pt", sha256="00ff")
    assert left(tmp_path) == []


def test_a_wrong_beginning_is_found_at_the_end(server: Server, tmp_path: Path) -> None:
    (tmp_path / "model.pt.part").write_bytes(b"x" * 1000)
    with pytest.raises(DownloadError, match="sha256"):
        fetch(server, tmp_path / "model.pt")
    assert left(tmp_path) == []


@pytest.mark.parametrize("length", [True, False])
def test_what_is_too_large_for_a_model(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: bool
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2_000_000)
    server.length = length
    with pytest.raises(DownloadError, match="10,240,000 bytes|does not end after 2,000,000"):
        fetch(server, tmp_path / "model.pt")


def test_a_body_that_never_ends(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 30_000_000)
    server.length, server.endless = False, True
    with pytest.raises(DownloadError, match="does not end after 30,000,000 bytes"):
        fetch(server, tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()
    assert all(path.stat().st_size == 0 for path in tmp_path.iterdir())


def test_a_body_longer_than_it_was_said_to_be(server: Server, tmp_path: Path) -> None:
    """Bytes beyond the length belong to nothing."""
    server.endless = True
    fetch(server, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BODY


def test_a_server_that_falls_silent(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_SECONDS", 0.2)
    server.silent = True
    with pytest.raises(DownloadError, match="timed out"):
        fetch(server, tmp_path / "model.pt")


def test_redirects_in_a_circle_end(server: Server, tmp_path: Path) -> None:
    server.redirect = "/model.pt"
    with pytest.raises(DownloadError, match="redirect"):
        fetch(server, tmp_path / "model.pt")


def test_redirects_within_http(server: Server, tmp_path: Path) -> None:
    server.redirect = "/elsewhere.pt"
    fetch(server, tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == BODY


@pytest.mark.parametrize(
    "elsewhere",
    ["file:///etc/hostname", "ftp://127.0.0.1/model.pt", "data:,model", "javascript:0", "//["],
)
def test_other_redirects_are_refused(server: Server, tmp_path: Path, elsewhere: str) -> None:
    server.redirect = elsewhere
    with pytest.raises(DownloadError):
        fetch(server, tmp_path / "model.pt")
    assert left(tmp_path) == []


def test_no_server_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    said = "m.pt: Connection refused.*save the file as .*model.pt yourself"
    with pytest.raises(DownloadError, match=said):
        download(f"http://127.0.0.1:{port}/m.pt", SHA256, tmp_path / "model.pt", progress=False)


def test_a_name_without_an_address_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is the machine offline") as told:
        download("http://no.such.name.invalid/m.pt", SHA256, tmp_path / "model.pt", progress=False)
    assert "Errno" not in str(told.value)


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(BODY)
    with pytest.raises(DownloadError, match="http"):
        download((tmp_path / "secret").as_uri(), SHA256, tmp_path / "model.pt", progress=False)
