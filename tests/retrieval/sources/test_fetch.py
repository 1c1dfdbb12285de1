"""Pictures from the network: only http, only so large, only so long."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from retrieval.errors import SourceUnavailable, UnreadablePicture
from retrieval.sources.web.fetch import fetch
from retrieval.sources.web.guest import as_ascii
from retrieval.sources.web.public import is_public
from retrieval.sources.web.site import WebFolder


class Site(BaseHTTPRequestHandler):
    """A site with a picture, and with what goes wrong on sites."""

    def do_GET(self) -> None:
        place = self.path.strip("/")
        if place.startswith("to="):
            self.send_response(302)
            self.send_header("Location", place[3:])
            self.end_headers()
        elif place in ("round", "quick-round"):
            time.sleep(0.1 if place == "round" else 0)
            self.send_response(302)
            self.send_header("Location", self.path)
            self.end_headers()
        elif place in ("picture", "slow"):
            self.send_response(200)
            self.end_headers()
            for part in range(20):
                if place == "slow":
                    time.sleep(0.05)
                self.wfile.write(bytes([part]) * 100)
                self.wfile.flush()
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_is_there_comes_whole(site: str) -> None:
    assert len(fetch(f"{site}/picture")) == 2000
    assert len(fetch(f"{site}/to={site}/picture")) == 2000


def test_what_is_too_large_or_too_slow_does_not(site: str) -> None:
    with pytest.raises(UnreadablePicture, match="larger than 500 bytes"):
        fetch(f"{site}/picture", most=500)
    with pytest.raises(UnreadablePicture, match="more than 0.2 s"):
        fetch(f"{site}/slow", seconds=0.2)


def test_nor_what_is_not_there_or_of_this_machine(site: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("no picture")
    with pytest.raises(UnreadablePicture, match="404"):
        fetch(f"{site}/nothing")
    for url in (f"file://{tmp_path}/secret", f"{site}/to=file://{tmp_path}/secret", "ftp://a/b"):
        with pytest.raises(UnreadablePicture, match="cannot fetch"):
            fetch(url)
    with pytest.raises(UnreadablePicture, match="cannot fetch"):
        fetch("http://127.0.0.1:9/nobody-listens")


OK = b"HTTP/1.1 200 OK\r\n"
# What a server says first, and what it goes on to say a little at a time, for as long as it may.
DRIPS = {
    "nothing": (b"", b""),
    "a status line": (b"HTTP/1.1 2", b"0"),
    "a header": (OK + b"X: ", b"x"),
    "headers": (OK, b"X-a: b\r\n"),
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a chunk's extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-a: b\r\n"),
    "a picture": (OK + b"Content-Length: 1000000\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("what", DRIPS)
def test_one_bound_is_for_all_of_the_time(what: str, scheme: str) -> None:
    """And the server is hung up on: the thread that waited does not go on waiting."""
    begin, more = DRIPS[what]
    hung_up, given_up = threading.Event(), threading.Event()

    def accepted(listening: socket.socket) -> socket.socket | None:
        """On a busy machine the time may be over before there is a connection."""
        listening.settimeout(0.05)
        while not given_up.is_set():
            with suppress(TimeoutError):
                return listening.accept()[0]
        return None

    def serve(listening: socket.socket) -> None:
        if (connected := accepted(listening)) is None:
            return hung_up.set()
        try:
            connected.sendall(begin)
            while not hung_up.wait(0.01):
                connected.sendall(more)
                if not more and not connected.recv(1 << 16):
                    break
        except OSError:
            pass
        connected.close()
        hung_up.set()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,), daemon=True)
        thread.start()
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/"
        with pytest.raises(UnreadablePicture, match=f"cannot fetch {url}: "):
            fetch(url, seconds=0.2)
        given_up.set()
        assert hung_up.wait(60)
        thread.join()


def test_redirections_share_the_time_and_are_few(site: str) -> None:
    with pytest.raises(UnreadablePicture, match="more than 0.3 s"):
        fetch(f"{site}/round", seconds=0.3)
    with pytest.raises(UnreadablePicture, match="redirect"):
        fetch(f"{site}/quick-round", seconds=30)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.1.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff0e::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::1", False),
        ("2002:5db8:d822::1", True),
        ("fec0::1", False),  # site-local, before there was fd00::/8
        ("64:ff9b:1::7f00:1", False),  # a translation of one's own
        ("64:ff9b:1::5db8:d822", False),
        ("::127.0.0.1", False),
        ("::93.184.216.34", False),
        ("::ffff:0:127.0.0.1", False),
        ("2001:0:5db8:d822::1", False),  # Teredo
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("2606:2800:220:1:0:5efe:7f00:1", False),  # ISATAP
        ("2606:2800:220:1:0:5efe:5db8:d822", True),
        ("100::1", False),
        ("5f00::1", False),
        ("192.0.0.9", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("::", False),
    ],
)
def test_public_addresses(address: str, expected: bool) -> None:
    assert is_public(address) == expected


def test_a_server_asks_public_addresses_only(site: str) -> None:
    port = site.rpartition(":")[2]
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"):
        for scheme in ("http", "https"):
            with pytest.raises(UnreadablePicture, match="is not a public address"):
                fetch(f"{scheme}://{host}:{port}/picture", private=False)


def test_nor_where_a_redirection_leads(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address passes for a public one; the second is looked at as well."""
    asked = list[str]()

    def first_is_public(address: str) -> bool:
        asked.append(address)
        return len(asked) == 1

    monkeypatch.setattr("retrieval.sources.web.fetch.is_public", first_is_public)
    with pytest.raises(UnreadablePicture, match="127.0.0.1 is not a public address"):
        fetch(f"{site}/to={site}/picture", private=False)
    asked.clear()
    assert len(fetch(f"{site}/picture", private=False)) == 2000


@pytest.mark.parametrize("url", ["http://[", "http://x:abc/", "https://", "http:///a.jpg"])
def test_what_is_not_an_address_is_a_failure(url: str) -> None:
    with pytest.raises(UnreadablePicture, match="not a valid address"):
        as_ascii(url)
    if url in ("http://[", "http://x:abc/"):  # the others name no folder of the web
        with pytest.raises(SourceUnavailable, match="is not a valid address"):
            WebFolder(url)
