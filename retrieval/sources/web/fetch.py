"""Fetch what lies at an address of the web, within a size and a time limit.

The time limit covers everything: name resolution, connecting, redirects, headers and the bytes.
Client libraries have no such limit, as they start their timeout again with every byte received. So
a thread fetches it, and its connections are cut when the time is up.
"""

import io
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any, NamedTuple

from retrieval.address import has_user
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.sources.web.public import is_public

MAX_BYTES = 64 << 20
SECONDS = 20.0  # for everything
BLOCK = 1 << 16
MAX_REDIRECTS = 5
NOT_MODIFIED = 304
AGENT = "retrieve (indexes pictures for search; its name in robots.txt is retrieve)"


class Answer(NamedTuple):
    """What a web server answered."""

    status: int  # 200; 206 for a part; 304 if nothing has changed
    headers: Message
    data: bytes
    url: str  # after redirects


class NotPublic(OSError):
    """An address lies in a private or reserved network."""


class FetchFailed(UnreadablePicture):
    """Nothing could be fetched."""

    def __init__(self, said: str, error: Exception) -> None:
        super().__init__(said, FailureCode.UNREADABLE)
        self.status: int | None = None  # None: there was no answer
        self.retry_after: float | None = None
        reason = getattr(error, "reason", error)
        self.not_public = str(reason) if isinstance(reason, NotPublic) else None
        if isinstance(error, urllib.error.HTTPError):
            self.status = error.code
            self.retry_after = _seconds(error.headers.get("Retry-After"))


def fetch(
    url: str, seconds: float = SECONDS, most: int = MAX_BYTES, *, private: bool = True
) -> bytes:
    """Return what is at an http or https address. Raises UnreadablePicture. See `ask`."""
    return ask(url, seconds, most, private=private).data


def ask(
    url: str,
    seconds: float = SECONDS,
    most: int = MAX_BYTES,
    *,
    private: bool = True,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    into: IO[bytes] | None = None,
) -> Answer:
    """Return what a server answers at an http or https address. Raises FetchFailed.

    most: bytes. private: False refuses all but public addresses, also after resolving names and
    following redirects, and uses no proxy: for a server, which must not be made to read what only
    its own machine can reach. headers: sent along, such as If-None-Match. into: takes the bytes
    instead of the answer, as they come.
    """
    connections = Connections()
    answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
    request = WebRequest(url, seconds, most, private, headers or {}, method, into)
    run = partial(_run, request, connections, answers)
    threading.Thread(target=run, name="fetch", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        answer = TimeoutError()
    finally:
        connections.cut()
    if isinstance(answer, Exception):
        raise FetchFailed(f"cannot fetch {url}: {_said(answer, seconds)}", answer) from answer
    return answer


class WebRequest(NamedTuple):
    """The arguments of `ask`."""

    url: str
    seconds: float
    most: int
    private: bool
    headers: Mapping[str, str]
    method: str
    into: IO[bytes] | None


def _run(
    asking: WebRequest,
    connections: "Connections",
    answers: "queue.SimpleQueue[Answer | Exception]",
) -> None:
    try:
        answers.put(_fetched(asking, connections))
    except Exception as error:  # of any kind: the waiting thread must learn of it
        answers.put(error)


def _fetched(asking: WebRequest, connections: "Connections") -> Answer:
    headers = {"User-Agent": AGENT, **asking.headers}
    request = urllib.request.Request(asking.url, headers=headers, method=asking.method)
    file = asking.into or io.BytesIO()
    size = 0
    try:
        with _opener(asking.private, connections).open(request, timeout=asking.seconds) as answer:
            while block := answer.read1(BLOCK):
                size += file.write(block)
                if size > asking.most:
                    raise ValueError(f"it is larger than {asking.most:,} bytes")
            if answer.length:  # http.client does not tell when it reads block by block
                raise ValueError(f"the connection ended {answer.length:,} bytes too early")
            data = file.getvalue() if isinstance(file, io.BytesIO) else b""
            return Answer(answer.status, answer.headers, data, answer.geturl())
    except urllib.error.HTTPError as error:
        if error.code != NOT_MODIFIED:
            raise
        error.close()
        return Answer(error.code, error.headers, b"", asking.url)


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After; it may be a date."""
    if retry_after is None:
        return None
    with suppress(ValueError):
        return max(0.0, float(retry_after))
    with suppress(TypeError, ValueError):
        at = parsedate_to_datetime(retry_after)
        return max(0.0, at.timestamp() - time.time())
    return None


def _said(error: Exception, seconds: float) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(error, TimeoutError) or isinstance(reason, TimeoutError):
        return f"it took more than {seconds:g} s"
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        return f"{error.code} {str(error.reason).partition(chr(10))[0]}"
    if isinstance(error, OSError | HTTPException | ValueError):
        return " ".join(str(reason).split()) or type(reason).__name__
    raise error


class Connections:
    """The connections of one fetch, so that another thread can cut them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_cut = False
        self._held: list[socket.socket] = []

    def hold(self, connected: socket.socket) -> None:
        """Keep a duplicate of the socket, as TLS takes over the original. Raises TimeoutError."""
        with self._lock:
            if self._is_cut:
                raise TimeoutError
            self._held.append(connected.dup())

    def check(self) -> None:
        """Raise TimeoutError if the connections were cut."""
        with self._lock:
            if self._is_cut:
                raise TimeoutError

    def cut(self) -> None:
        """Shut down all connections that are still open."""
        with self._lock:
            self._is_cut = True
            for held in self._held:
                with suppress(OSError):  # it may have been closed already
                    held.shutdown(socket.SHUT_RDWR)
                held.close()
            self._held.clear()


class CuttableConnection(HTTPConnection):
    """A connection that can be cut, and can be limited to public addresses."""

    def __init__(self, *args: Any, connections: Connections, private: bool, **more: Any) -> None:
        super().__init__(*args, **more)
        self._connections = connections
        self._is_private = private
        self._create_connection = self._connected  # what http.client calls

    def _connected(self, address: tuple[str, int], timeout: float, *more: object) -> socket.socket:
        """Connect to the address that was checked: the next lookup may give another one."""
        host, port = address
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failed: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, place in found:
            if not self._is_private and not is_public(str(place[0])):
                raise NotPublic(f"{place[0]} is not a public address")
            connected = socket.socket(family, kind, protocol)
            try:
                connected.settimeout(timeout)
                self._connections.hold(connected)
                connected.connect(place)
                self._connections.check()  # a cut just before the connection had no effect on it
                return connected
            except OSError as error:
                connected.close()
                failed = error
        raise failed


class TLSConnection(CuttableConnection, HTTPSConnection):
    """A CuttableConnection that is encrypted."""


class Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = MAX_REDIRECTS

    def redirect_request(
        self, asked: urllib.request.Request, *answer: Any
    ) -> urllib.request.Request | None:
        """Ask the other address in the same way: older versions of urllib make a GET of a HEAD."""
        if has_user(answer[-1]):
            file, code, _, headers, _ = answer
            said = "it leads to an address with a password"
            raise urllib.error.HTTPError(asked.full_url, code, said, headers, file)
        request = super().redirect_request(asked, *answer)
        if request is not None and asked.get_method() == "HEAD":
            request.method = "HEAD"
        return request


class Handler(urllib.request.HTTPSHandler):
    """A handler of http and https whose connections can be cut."""

    def __init__(self, connections: Connections, private: bool) -> None:
        super().__init__()
        self._options = {"connections": connections, "private": private}

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(CuttableConnection, **self._options), request)  # type: ignore[arg-type]

    http_request = urllib.request.AbstractHTTPHandler.do_request_

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(TLSConnection, **self._options), request)  # type: ignore[arg-type]


def _opener(private: bool, connections: Connections) -> urllib.request.OpenerDirector:
    """Return an opener for http and https alone, so that no redirect leads to a local file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *([urllib.request.ProxyHandler()] if private else []),
        Handler(connections, private),
        urllib.request.HTTPDefaultErrorHandler(),
        Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
