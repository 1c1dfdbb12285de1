"""Deadlines and bounds of connections, over real sockets."""

import resource
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from retrieval.web import connections
from retrieval.web.connections import Connection, room
from retrieval.web.server import listen

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]}
    )
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Of a server that waits a fifth of a second for headers."""
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.2)
    config = uvicorn.Config(hello, http=Connection, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def connected(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.settimeout(60)
    return made


def ended(connection: socket.socket) -> bool:
    """Whether the server hung up, after whatever it said."""
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize("begin", [b"", b"G", REQUEST[:-2], REQUEST[:-2] + b"X: " + b"x" * 1000])
def test_headers_have_a_deadline(port: int, begin: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(begin)
        assert ended(connection)


def test_the_next_request_of_a_connection_has_one_as_well(port: int) -> None:
    with connected(port) as connection:
        for _ in range(3):
            connection.sendall(REQUEST)
            said = b""
            while not said.endswith(b"hello"):
                said += connection.recv(1 << 16)
        connection.sendall(REQUEST[:-4])
        assert ended(connection)


def test_there_are_fewer_connections_than_descriptors() -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 8 <= room() <= connections.MAX_CONNECTIONS and room() < files
