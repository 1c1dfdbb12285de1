"""Who may ask, and how: every request passes here first, and every answer last.

A page of another site can make a browser send requests here. What it cannot do is to call this
server by a name of ours (its own name may lead to this machine), to hide where it comes from, or to
send our header, for which its browser asks leave first, which nobody gets.
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
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.web.schemas import error
from retrieval.web.state import ServerSettings

LOCAL = ("localhost", "127.0.0.1", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")
HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:@/]+)(?::\d+)?")
CHANGING = ("POST", "PUT", "PATCH", "DELETE")
OURS = "x-retrieve"  # the header that no other site's page can send
COOKIE = "retrieve-{}"  # by port: browsers send the cookies of a machine to all of its servers
ROLE = "retrieve.role"  # in the scope of a request

Role = Literal["owner", "guest"]

MOST_BYTES = {"/api/uploads": 64 << 20}  # of a body, by path
FEW_BYTES = 1 << 16  # of any other
SECONDS = 60.0  # until a body is there

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
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
    """Around an application."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._is_everywhere = settings.host in EVERYWHERE
        bound = f"[{settings.host}]" if ":" in settings.host else settings.host
        own = machine_names() if self._is_everywhere else ()
        self._names = {name.lower() for name in (*LOCAL, bound, *own, *settings.names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope)
        send = _with_headers(send, scope["path"])
        if (refusal := self._refusal(request)) is not None:
            return await refusal(scope, receive, send)
        if request.method in CHANGING:
            receive = Body(receive, _most(scope["path"]))
        await self._app(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """What is answered instead, if anything."""
        headers = request.headers
        host = headers.get("host", "")
        if not self._is_our_name(host):
            said = f"this server does not go by the name {host!r}; see retrieve serve --allow-host"
            return error(said, 403)
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return error("pages of other sites may not ask this server", 403)
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and not _is_visit(request):
            return error("pages of other sites may not ask this server", 403)
        if (given := _visitor_s(request)) is not None and self._role_of([given]):
            return _welcome(request, given)
        role = self._role_of(_shown(request)) or ("guest" if self._settings.is_open else None)
        if role is None:
            said = "the token is missing or wrong; open the address that `retrieve serve` printed"
            return error(said, 401, None, **{"WWW-Authenticate": "Bearer"})
        request.scope[ROLE] = role
        if request.method in CHANGING and OURS not in headers:
            return error("a request that changes something needs the header X-Retrieve: 1", 403)
        length = headers.get("content-length") or "0"
        if not length.isascii() or not length.isdigit():
            return error(f"{length!r} is not a valid length of a body", 400)
        if int(length[:20]) > _most(request.scope["path"]):
            return error(_too_large(_most(request.scope["path"])), 413)
        return None

    def _is_our_name(self, host: str) -> bool:
        if (parts := HOST.fullmatch(host)) is None:
            return False
        name = parts[1].lower()
        return name in self._names or (self._is_everywhere and _is_address(name))

    def _role_of(self, shown: Iterable[str]) -> Role | None:
        """What one of these secrets, or what a cookie holds in place of it, allows."""
        settings = self._settings
        secrets: dict[Role, str | None] = {"owner": settings.secret, "guest": settings.token}
        for role, secret in secrets.items():
            if secret and any(_same(each, one) for each in shown for one in _forms(secret)):
                return role
        return None


def is_owner(request: Request) -> bool:
    """Whether whoever asks has the secret of this run."""
    return bool(request.scope.get(ROLE) == "owner")


def check_owner(request: Request, doing: str) -> None:
    """Refuse what concerns this machine to all but who started the server."""
    if not is_owner(request):
        raise HTTPException(
            403, f"{doing} needs the secret in the address that `retrieve serve` printed"
        )


class Body:
    """What is received, in bounds of size and of time."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = self._most = most
        self._end = asyncio.get_running_loop().time() + SECONDS
        self._is_whole = False

    async def __call__(self) -> Message:
        if self._is_whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError as late:
            raise HTTPException(408, f"the request took more than {SECONDS:g} s") from late
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, _too_large(self._most))
        self._is_whole = not message.get("more_body", False)
        return message


def machine_names() -> tuple[str, str]:
    """What others in a network call this machine."""
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
    """Whether somebody followed a link to the page."""
    return request.headers.get("sec-fetch-mode") == "navigate" and request.scope["path"] == "/"


def _is_address(name: str) -> bool:
    """No name that others could have lead here."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _most(path: str) -> int:
    return MOST_BYTES.get(path, FEW_BYTES)


def _too_large(most: int) -> str:
    return f"a request like this has at most {most:,} bytes"


def _same(given: str, expected: str) -> bool:
    """In a time that tells nothing."""
    return hmac.compare_digest(_bytes(given), _bytes(expected))


def _forms(secret: str) -> tuple[str, str]:
    """A secret as it is given, and what a cookie holds: from that nobody can tell the secret."""
    return secret, hashlib.sha256(b"retrieve: " + _bytes(secret)).hexdigest()


def _bytes(secret: str) -> bytes:
    """Of any text, that of $RETRIEVE_TOKEN included, which need not be UTF-8."""
    return secret.encode("utf-8", "surrogatepass")


def _shown(request: Request) -> list[str]:
    """The secrets that a request shows."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    bearer = [given.strip()] if scheme.lower() == "bearer" else []
    return [*bearer, request.cookies.get(_cookie_name(request), "")]


def _visitor_s(request: Request) -> str | None:
    """The secret in the address of somebody who comes to the page."""
    return request.query_params.get("token") if request.scope["path"] == "/" else None


def _welcome(request: Request, secret: str) -> Response:
    """Give a cookie, and an address without the secret: it stays in no history and no log."""
    asked = [(name, value) for name, value in request.query_params.multi_items() if name != "token"]
    response = RedirectResponse(f"/?{urlencode(asked)}" if asked else "/", 303)
    name, value = _cookie_name(request), _forms(secret)[1]
    response.set_cookie(name, value, httponly=True, samesite="strict")
    return response


def _cookie_name(request: Request) -> str:
    _, port = request.scope.get("server") or ("", None)
    return COOKIE.format(port or 0)


def _place(origin: str) -> str | None:
    """The host and port of an origin; None for what is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
