"""Listens, and answers until Ctrl-C."""

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
TRIED = 100  # ports from there on
WAITING = 128  # connections that the system keeps until they are accepted
# Accepted before there is a chance to cut others: more would take the descriptors that are spared.
AT_ONCE = 8
GRACE = 1  # second, in which requests that are being answered may end


def serve(
    library: Library,
    settings: ServerSettings,
    port: int | None,
    ready: Callable[[str, str | None], None],
) -> None:
    """Until it is interrupted. ready: called when it can be asked, with the address for whoever
    started it, and the one for others, if there are any.

    Raises CannotServe; UnsafeServer, before anything is begun.
    """
    if not settings.is_local and not settings.token:
        raise UnsafeServer(
            f"anyone who can reach {settings.host} could see every picture; give a --token as well"
        )
    if settings.token and not _is_text(settings.token):
        raise UnsafeServer("the token is not valid UTF-8; choose one of letters and digits")
    listening = listen(settings.host, port)
    config = uvicorn.Config(
        application(Site(library, settings)),
        log_level="warning",
        access_log=False,
        server_header=False,
        http=Connection,
        backlog=AT_ONCE,
        ws="none",  # else whatever is installed takes a connection over, without its bounds
        timeout_graceful_shutdown=GRACE,
    )
    log_sparsely()
    addresses = addresses_of(settings, listening.getsockname()[1])
    with listening, suppress(KeyboardInterrupt):
        Server(config, lambda: ready(*addresses)).run(sockets=[listening])
    _leave()


class Server(uvicorn.Server):
    """Tells when it answers, and from when on Ctrl-C ends it."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(WAITING)  # asyncio took AT_ONCE for both
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # to be cut short is no error
        await super().shutdown(sockets)


def addresses_of(settings: ServerSettings, port: int) -> tuple[str, str | None]:
    """Where a browser finds it: for whoever started it, with the secret, and for others."""
    is_everywhere = settings.host in EVERYWHERE
    own = _address("127.0.0.1" if is_everywhere else settings.host, port, settings.secret)
    name = machine_names()[0] if is_everywhere else settings.host
    if settings.token:
        return own, _address(name, port, settings.token)
    return own, _address(name, port, None) if settings.is_open else None


def _is_text(token: str) -> bool:
    """Whether it can stand in an address and a header."""
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True


def _address(host: str, port: int, token: str | None) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"http://{host}:{port}/" + (f"?{urlencode({'token': token})}" if token else "")


def listen(host: str, port: int | None) -> socket.socket:
    """At this port; without one, at the first free one from 8000 on. Raises CannotServe."""
    ports = range(PORT, PORT + TRIED) if port is None else [port]
    for each in ports:
        try:
            return _bound(host, each)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                said = reason(error)
                raise CannotServe(f"cannot listen at {host}, port {each}: {said}") from error
    if port is None:
        raise CannotServe(f"none of the ports from {PORT} on is free; name one with --port")
    raise CannotServe(f"port {port} of {host} is in use; name another, or none, with --port")


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would share the port with others
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(WAITING)
    except OSError:
        listening.close()
        raise
    return listening


def _leave() -> None:
    """At once: threads that scan or multiply, or wait for more of it, have nothing to lose."""
    others = set(threading.enumerate()) - {threading.current_thread()}
    if any(not thread.daemon for thread in others):
        os._exit(0)
