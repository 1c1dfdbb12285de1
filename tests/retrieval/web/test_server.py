"""`retrieve serve` as a process: it listens, says where, and ends at once."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.errors import CannotServe
from retrieval.web.connections import MAX_CONNECTIONS, Sparsely
from retrieval.web.server import PORT, listen, serve
from retrieval.web.state import ServerSettings
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[3]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # `home` has a dead one
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def started(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli.main", "serve", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(*arguments: object) -> Iterator[str]:
    """The address, the secret of which is shown with all requests; ended as by Ctrl-C, silently."""
    with started("--port", 0, *arguments) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), process.stderr.read()
        address, _, secret = line.split()[0].partition("?token=")
        assert len(secret) >= 32
        OPENER.addheaders = [("Authorization", f"Bearer {secret}")]
        try:
            yield address
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (0, "", "")


@POSIX
def test_it_serves_until_ctrl_c(indexed: Path) -> None:
    with serving("--library", indexed) as address:
        with OPENER.open(f"{address}api/search?q=a+car&limit=3", timeout=30) as answer:
            assert len(json.load(answer)["matches"]) == 3
        with OPENER.open(address, timeout=30) as answer:
            assert b"<html" in answer.read()
        paint(indexed / "large.bmp", "red", 99)
        body = (indexed / "large.bmp").read_bytes() + bytes(10 << 20)  # more than a few bytes
        upload = urllib.request.Request(f"{address}api/uploads", body, {"X-Retrieve": "1"})
        with OPENER.open(upload, timeout=30) as answer:
            assert answer.status == 201


@POSIX
def test_ctrl_c_ends_connections_as_well(indexed: Path) -> None:
    """One that is kept open, and one whose request never ends."""
    with serving("--library", indexed) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        idle, slow = (socket.create_connection(("127.0.0.1", port)) for _ in range(2))
        slow.sendall(b"POST /api/uploads HTTP/1.1\r\nHost: localhost\r\nX-Retrieve: 1\r\n")
        slow.sendall(b"Content-Length: 1000\r\n\r\nsome")
    for connection in (idle, slow):
        connection.close()


def test_a_port_that_is_in_use(home: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with started("--port", port) as process:
            output, errors = process.communicate(timeout=30)
        assert process.returncode == 1 and output == ""
        [line] = errors.splitlines()
        assert line.startswith(f"error: port {port} on 127.0.0.1 is in use")


def test_the_next_port_is_taken_where_none_is_named() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    assert PORT <= ports[0] < ports[1]


def test_where_nobody_can_listen() -> None:
    for host in ("192.0.2.1", "no.such.name.invalid"):
        with pytest.raises(CannotServe, match=f"cannot listen on {host}"):
            listen(host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.example", "::"])
def test_only_this_machine_goes_without_a_token(host: str) -> None:
    assert not ServerSettings(host).is_local
    with pytest.raises(CannotServe, match="--token"):
        serve(Library(Path("none")), ServerSettings(host), 0, print)


def test_who_is_this_machine() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert ServerSettings(host).is_local


def test_a_network_is_served_with_a_token_only(home: Path) -> None:
    with started("--host", "0.0.0.0", "--port", 0) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 2 and output == "" and "--token" in errors


@POSIX
def test_half_sent_headers_keep_nobody_out(indexed: Path) -> None:
    """As many connections as there are, and as fast as they come: the oldest make room."""
    with serving("--library", indexed) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with ExitStack() as held:
            for number in range(3 * MAX_CONNECTIONS):
                each = held.enter_context(socket.create_connection(("127.0.0.1", port)))
                each.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Some: " + b"x" * number)
                if number % 100 == 0:
                    with OPENER.open(f"{address}api/status", timeout=30) as answer:
                        assert answer.status == 200
            with OPENER.open(f"{address}api/status", timeout=30) as answer:
                assert answer.status == 200


@POSIX
def test_a_flood_where_there_are_few_descriptors(indexed: Path) -> None:
    """Connections that are accepted at once take no more than are left: nothing is logged."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, before[1]))
    with ExitStack() as held:
        try:
            address = held.enter_context(serving("--library", indexed))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        port = int(address.rstrip("/").rpartition(":")[2])
        for _ in range(400):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET / HTTP/1.1\r\nX-Half: ")
        with OPENER.open(f"{address}api/status", timeout=30) as answer:
            assert answer.status == 200


def test_what_says_the_same_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("a test of the log")
    logger.addFilter(Sparsely())
    for number in range(1_000):
        logger.warning("Invalid HTTP request received.")
        logger.warning("another, %d", number)
    assert [each.getMessage() for each in caplog.records] == [
        "Invalid HTTP request received.",
        "another, 0",
    ]
