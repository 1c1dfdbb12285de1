"""The server process: it listens and answers until Ctrl-C."""

import errno
import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlencode

import uvicorn

from retrieval.errors import CannotServe, UnsafeServer, reason
from retrieval.library import Library
from retrieval.web.app import application
from retrieval.web.connections import Connection, log_sparsely
from retrieval.web.guard import EVERYWHERE, machine_names
from retrieval.web.state import ServerSettings, Site

PORT = 8000
PORTS_TRIED = 100  # from there on
BACKLOG = 128  # connections that the system holds until they are accepted
# Accepted in one go, before older connections can be closed; more would use up the reserved
# descriptors.
ACCEPTED_AT_ONCE = 8
GRACE_SECONDS = 1  # for requests in progress when the server stops


def serve(
    library: Library,
    settings: ServerSettings,
    port: int | None,
    ready: Callable[[str, str | None], None],
) -> None:
    """Serve until interrupted. Raises CannotServe.

    ready: called once the server answers, with the owner's address and, if others are admitted,
    the address for them.
    """
    if not settings.is_local and not settings.token:
        raise UnsafeServer(
            f"anyone who can reach {settings.host} could see every picture; add --token"
        )
    if settings.token and not _is_text(settings.token):
        raise UnsafeServer("the token is not valid UTF-8; use letters and digits")
    listening = listen(settings.host, port)
    config = uvicorn.Config(
        application(Site(library, settings)),
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Connection,
        backlog=ACCEPTED_AT_ONCE,
        ws="none",  # otherwise an installed WebSocket library takes connections without our limits
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    log_sparsely()
    addresses = addresses_of(settings, listening.getsockname()[1])
    with listening, suppress(KeyboardInterrupt):
        Server(config, lambda: ready(*addresses)).run(sockets=[listening])
    _leave()


class Server(uvicorn.Server):
    """uvicorn's server, with a callback as soon as it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(BACKLOG)  # asyncio used ACCEPTED_AT_ONCE for both
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Cutting requests short at the end is not an error.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def addresses_of(settings: ServerSettings, port: int) -> tuple[str, str | None]:
    """Return the page's address for the owner, with the secret, and the one for others."""
    is_everywhere = settings.host in EVERYWHERE
    own = _address("127.0.0.1" if is_everywhere else settings.host, port, settings.secret)
    name = machine_names()[0] if is_everywhere else settings.host
    if settings.token:
        return own, _address(name, port, settings.token)
    return own, _address(name, port, None) if settings.is_open else None


def _is_text(token: str) -> bool:
    """Return whether a token can be part of an address and a header."""
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True


def _address(host: str, port: int, token: str | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?{urlencode({'token': token})}" if token else "")


def listen(host: str, port: int | None) -> socket.socket:
    """Listen on this port, or without one on the first free port from 8000 up. Raises
    CannotServe.
    """
    ports = range(PORT, PORT + PORTS_TRIED) if port is None else [port]
    for each in ports:
        try:
            return _bound(host, each)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                said = reason(error)
                raise CannotServe(f"cannot listen on {host}, port {each}: {said}") from error
    if port is None:
        last = PORT + PORTS_TRIED - 1
        raise CannotServe(f"ports {PORT} to {last} are all in use; choose another with --port")
    raise CannotServe(
        f"port {port} on {host} is in use; choose another with --port, or leave --port out"
    )


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would share the port with others
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _leave() -> None:
    """Exit without waiting for search threads, which have nothing to lose."""
    others = set(threading.enumerate()) - {threading.current_thread()}
    if any(not thread.daemon for thread in others):
        os._exit(0)
