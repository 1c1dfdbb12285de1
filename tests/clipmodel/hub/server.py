"""A server on this machine that speaks the protocol of the Hugging Face hub, and can misbehave.

Large files are redirected to a second server, as the hub does with its store: it knows ranges, and
must never see a token.
"""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SMALL_BYTES = 10_000  # what is larger is in the store


@dataclass
class Held:
    """A repository. token: the one that opens it; gated: it must be asked for."""

    files: dict[str, bytes]
    card: dict[str, Any] = field(default_factory=dict)
    token: str | None = None
    gated: bool = False


@dataclass
class Hub:
    """What the servers hold, how they behave, and what they were asked."""

    repositories: dict[str, Held] = field(default_factory=dict)
    address: str = ""
    store: str = ""
    cut_after: int | None = None  # bytes of a large file, then the store hangs up
    spoiled: bool = False  # the store sends other bytes than it should
    tag: str | None = None  # of all small files, in place of the right one
    fails: int | None = None  # the status of everything that the hub answers
    asked: list[str] = field(default_factory=list)  # METHOD path [range]
    tokens_seen_by_store: list[str] = field(default_factory=list)

    def find(self, path: str) -> tuple[str, Held] | None:
        names = [name for name in self.repositories if path.startswith(f"/{name}/")]
        return (names[0], self.repositories[names[0]]) if names else None

    def fetched(self, ending: str) -> list[str]:
        """The requests for large files whose names end so."""
        return [asked for asked in self.asked if asked.startswith("STORE") and ending in asked]


class _Answering(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, headers: dict[str, Any], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            with suppress(ConnectionError):
                self.wfile.write(body)


class _HubHandler(_Answering):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.hub
        hub.asked.append(f"{self.command} {self.path}")
        if hub.fails is not None:
            return self.answer(hub.fails, {})
        path = self.path.partition("?")[0]
        is_api = path.startswith("/api/models/")
        found = hub.find(path.removeprefix("/api/models") + "/" if is_api else path)
        if found is None:
            return self.answer(404, {"X-Error-Code": "RepoNotFound"})
        name, held = found
        if held.token and self.headers.get("Authorization") != f"Bearer {held.token}":
            if not held.gated:
                return self.answer(401, {"X-Error-Code": "RepoNotFound"})
            if not is_api:
                return self.answer(401, {"X-Error-Code": "GatedRepo"})
        return self.of_api(name, held, path) if is_api else self.of_file(name, held, path)

    def of_api(self, name: str, held: Held, path: str) -> None:
        revision = path.partition("/revision/")[2]
        if revision not in ("", "main", COMMIT):
            return self.answer(404, {"X-Error-Code": "RevisionNotFound"})
        siblings = [{"rfilename": file} for file in held.files]
        said = {"id": name, "sha": COMMIT, "siblings": siblings, "cardData": held.card, "tags": []}
        self.answer(200, {"Content-Type": "application/json"}, json.dumps(said).encode())

    def of_file(self, name: str, held: Held, path: str) -> None:
        file = path.removeprefix(f"/{name}/resolve/{COMMIT}/").removeprefix(
            f"/{name}/resolve/main/"
        )
        body = held.files.get(file)
        if body is None:
            code = "EntryNotFound" if path != file else "RevisionNotFound"
            return self.answer(404, {"X-Error-Code": code, "X-Repo-Commit": COMMIT})
        if len(body) <= SMALL_BYTES:
            tag = self.hub.tag or hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
            return self.answer(200, {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'}, body)
        tag = hashlib.sha256(body).hexdigest()
        self.answer(
            302,
            {
                "X-Repo-Commit": COMMIT,
                "X-Linked-Size": len(body),
                "X-Linked-Etag": f'"{tag}"',
                "Location": f"{self.hub.store}/{name}/{file}?signed=for-a-while",
            },
        )


class _StoreHandler(_Answering):
    def do_GET(self) -> None:
        hub, asked = self.hub, self.headers.get("Range")
        path = self.path.partition("?")[0]
        hub.asked.append(f"STORE {path}" + (f" {asked}" if asked else ""))
        if token := self.headers.get("Authorization"):
            hub.tokens_seen_by_store.append(token)
        found = hub.find(path)
        assert found
        name, held = found
        body = held.files[path.removeprefix(f"/{name}/")]
        body = bytes(len(body)) if hub.spoiled else body
        start = int(asked[6:-1]) if asked else 0
        if start >= len(body):
            return self.answer(416, {})
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body[start : hub.cut_after])


@contextmanager
def running() -> Iterator[Hub]:
    """Start both servers."""
    hub = Hub()
    of_hub = type("Handler", (_HubHandler,), {"hub": hub})
    of_store = type("Handler", (_StoreHandler,), {"hub": hub})
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), of_hub) as first,
        ThreadingHTTPServer(("127.0.0.1", 0), of_store) as second,
    ):
        threads = []
        for server in (first, second):
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            threads.append(thread)
        hub.address = f"http://127.0.0.1:{first.server_port}"
        hub.store = f"http://127.0.0.1:{second.server_port}"
        yield hub
        for server, thread in zip((first, second), threads, strict=True):
            server.shutdown()
            thread.join()
