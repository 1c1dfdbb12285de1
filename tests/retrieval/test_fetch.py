"""Pictures from the network: only http, only so large, only so long."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from retrieval.errors import UnreadablePicture
from retrieval.fetch import fetch, is_public


class Site(BaseHTTPRequestHandler):
    """A site with a picture, and with what goes wrong on sites."""

    def do_GET(self) -> None:
        place = self.path.strip("/")
        if place.startswith("to="):
            self.send_response(302)
            self.send_header("Location", place[3:])
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
    with pytest.raises(UnreadablePicture, match="more than 500 bytes"):
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

    monkeypatch.setattr("retrieval.fetch.is_public", first_is_public)
    with pytest.raises(UnreadablePicture, match="127.0.0.1 is not a public address"):
        fetch(f"{site}/to={site}/picture", private=False)
    asked.clear()
    assert len(fetch(f"{site}/picture", private=False)) == 2000
