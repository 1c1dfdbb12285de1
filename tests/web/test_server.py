"""`retrieve serve` as a process: it listens, says where, and ends at once."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from retrieval import Library
from retrieval.errors import CannotServe
from retrieval.web.server import PORT, listen, serve
from retrieval.web.site import Settings
from tests.retrieval.conftest import paint

ROOT = Path(__file__).parents[2]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # `home` has a dead one
POSIX = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def started(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "retrieval.cli", "serve", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(*arguments: object) -> Iterator[str]:
    """The address; ended as by Ctrl-C, silently."""
    with started("--port", 0, *arguments) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), process.stderr.read()
        try:
            yield line.split()[0]
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
        assert line.startswith(f"error: port {port} of 127.0.0.1 is in use")


def test_the_next_port_is_taken_where_none_is_named() -> None:
    with listen("127.0.0.1", None) as first, listen("127.0.0.1", None) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    assert PORT <= ports[0] < ports[1]


def test_where_nobody_can_listen() -> None:
    for host in ("192.0.2.1", "no.such.name.invalid"):
        with pytest.raises(CannotServe, match=f"cannot listen at {host}"):
            listen(host, 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "127.example", "::"])
def test_only_this_machine_goes_without_a_token(host: str) -> None:
    assert not Settings(host).is_local
    with pytest.raises(CannotServe, match="--token"):
        serve(Library(Path("none")), Settings(host), 0, print)


def test_who_is_this_machine() -> None:
    assert all(Settings(host).is_local for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"))


def test_a_network_is_served_with_a_token_only(home: Path) -> None:
    with started("--host", "0.0.0.0", "--port", 0) as process:
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and output == "" and "--token" in errors
