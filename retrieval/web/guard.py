"""The guard: every request passes through here first, and every response last.

A page of another site can make a browser send requests here. It cannot, however, use one of our
host names (its own may resolve to this machine), hide its origin, or send our header: the browser
would ask for permission first, and nobody gets it.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Literal
from urllib.parse import urlencode, urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.web.schemas import error
from retrieval.web.state import ServerSettings

LOCAL = ("localhost", "127.0.0.1", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:@/]+)(?::\d+)?")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
OURS = "x-retrieve"  # a header that pages of other sites cannot send
COOKIE = "retrieve-{}"  # one for each port: browsers send a machine's cookies to all its servers
ROLE = "retrieve.role"  # in the scope of a request
COOKIE_SECONDS = 30 * 86_400  # of a guest's cookie; the owner's secret changes with every run
LOCKED = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>retrieve: locked</title>
<h1>This library is locked</h1>
<p>Open the address that <code>retrieve serve</code> printed: it contains the token.</p>
<p>If you came from a bookmark, the server has been restarted since and has a new address.</p>
"""

Role = Literal["owner", "guest"]

MAX_BYTES = {"/api/uploads": 64 << 20}  # of a body, by path
MAX_BYTES_ELSEWHERE = 1 << 16
BODY_SECONDS = 60.0  # until a body is complete

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self'; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """ASGI middleware that checks every request and sets security headers on every response."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._is_everywhere = settings.host in EVERYWHERE
        own = machine_names() if self._is_everywhere else ()
        names = (*LOCAL, settings.host, *own, *settings.names)
        self._names = {_in_header(name) for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope)
        send = _with_headers(send, scope["path"])
        if (refusal := self._refusal(request)) is not None:
            return await refusal(scope, receive, send)
        if request.method in CHANGING:
            receive = Body(receive, _max_bytes(scope["path"]))
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """Return the response that refuses a request or sends it elsewhere; None to let it in."""
        headers = request.headers
        host = headers.get("host", "")
        if not self._is_our_name(host):
            said = f"{host!r} is not a name of this server; see retrieve serve --allow-host"
            return error(said, 403)
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return error("pages of other sites may not ask this server", 403)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(request):
            return error("pages of other sites may not ask this server", 403)
        given = _in_address(request)
        if given is not None and (visitor := self._role_of([given])):
            return _welcome(request, given, visitor)
        role = self._role_of(_shown(request)) or ("guest" if self._settings.is_open else None)
        if role is None:
            return _locked(request)
        request.scope[ROLE] = role
        if request.method in CHANGING and OURS not in headers:
            return error("requests that change something need the header X-Retrieve: 1", 403)
        length = headers.get("content-length") or "0"
        if not length.isascii() or not length.isdigit():
            return error(f"{length!r} is not a valid Content-Length", 400)
        if int(length[:20]) > _max_bytes(request.scope["path"]):
            return error(_too_large(_max_bytes(request.scope["path"])), 413)
        return None

    def _is_our_name(self, host: str) -> bool:
        if (parts := HOST.fullmatch(host)) is None:
            return False
        name = parts[1].lower()
        return name in self._names or (self._is_everywhere and _is_address(name))

    def _role_of(self, shown: Iterable[str]) -> Role | None:
        """Return the role that one of these secrets, or a cookie made from it, grants."""
        settings = self._settings
        secrets: dict[Role, str | None] = {"owner": settings.secret, "guest": settings.token}
        for role, secret in secrets.items():
            if secret and any(_same(each, one) for each in shown for one in _forms(secret)):
                return role
        return None


def is_owner(request: Request) -> bool:
    """Return whether a request carries the secret of this run."""
    return bool(request.scope.get(ROLE) == "owner")


def check_owner(request: Request, doing: str) -> None:
    """Refuse whatever affects this machine unless the owner of the server asks."""
    if not is_owner(request):
        raise HTTPException(
            403, f"{doing} needs the secret in the address that `retrieve serve` printed"
        )


class Body:
    """A request's body, limited in size and time."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive = receive
        self._left = self._max_bytes = max_bytes
        self._end = asyncio.get_running_loop().time() + BODY_SECONDS
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as late:
            raise HTTPException(408, f"the request took more than {BODY_SECONDS:g} s") from late
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_large(self._max_bytes))
        self._is_whole = not message.get("more_body", False)
        return message


def _in_header(name: str) -> str:
    """Return a host name as the header Host has it."""
    return (f"[{name}]" if ":" in name and not name.startswith("[") else name).lower()


def machine_names() -> tuple[str, str]:
    """Return the names by which other machines in the network may know this one."""
    name = socket.gethostname()
    return name, f"{name}.local"


def _with_headers(send: Send, path: str) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(HEADERS)
            keep = "no-store" if path.startswith("/api") else "no-cache"
            headers.setdefault("Cache-Control", keep)
        await send(message)

    return sending


def _is_visit(request: Request) -> bool:
    """Return whether a browser is opening the page, for example from a link."""
    return request.headers.get("sec-fetch-mode") == "navigate" and request.scope["path"] == "/"


def _is_address(name: str) -> bool:
    """Return whether a host is an IP address, which no DNS of others can forge."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _max_bytes(path: str) -> int:
    return MAX_BYTES.get(path, MAX_BYTES_ELSEWHERE)


def _too_large(max_bytes: int) -> str:
    return f"the request is too large; the limit here is {max_bytes:,} bytes"


def _same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(_bytes(given), _bytes(expected))


def _forms(secret: str) -> tuple[str, str]:
    """Return a secret as given and as a cookie holds it: hashed, beyond recovery."""
    return secret, hashlib.sha256(b"retrieve: " + _bytes(secret)).hexdigest()


def _bytes(secret: str) -> bytes:
    """Encode any text, including a $RETRIEVE_TOKEN that is not valid UTF-8."""
    return secret.encode("utf-8", "surrogatepass")


def _shown(request: Request) -> list[str]:
    """Return the secrets in a request's headers and cookies."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    bearer = [given.strip()] if scheme.lower() == "bearer" else []
    return [*bearer, request.cookies.get(_cookie_name(request), "")]


def _in_address(request: Request) -> str | None:
    """Return the secret in the address of somebody who opens the page."""
    return request.query_params.get("token") if request.scope["path"] == "/" else None


def _locked(request: Request) -> Response:
    """Ask for the token: people on a page, programs in JSON."""
    headers = {"WWW-Authenticate": "Bearer"}
    if request.scope["path"] == "/" and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(LOCKED, 401, headers)
    said = "missing or wrong token; open the address that `retrieve serve` printed"
    return error(said, 401, None, **headers)


def _welcome(request: Request, secret: str, role: Role) -> Response:
    """Set a cookie and redirect to the address without the secret, so that it stays in no history
    or log.
    """
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
    response = RedirectResponse(f"/?{urlencode(asked)}" if asked else "/", 303)
    name, value = _cookie_name(request), _forms(secret)[1]
    seconds = COOKIE_SECONDS if role == "guest" else None  # None: until the browser is closed
    response.set_cookie(name, value, max_age=seconds, httponly=True, samesite="strict")
    return response


def _cookie_name(request: Request) -> str:
    _, port = request.scope.get("server") or ("", None)
    return COOKIE.format(port or 0)


def _place(origin: str) -> str | None:
    """Return the host and port of an origin; None if it is not a valid address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
