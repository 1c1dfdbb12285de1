"""A small part of Google Cloud Storage's JSON API, on this machine: objects are listed and read."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

OBJECTS, DOWNLOADS = "/storage/v1/b/", "/download/storage/v1/b/"


class Storage(BaseHTTPRequestHandler):
    """One bucket, whatever its name."""

    objects: dict[str, bytes]
    reads: list[str]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, rest = parts.path.partition("/b/")[2].partition("/o")
        key = unquote(rest.removeprefix("/"))
        if parts.path.startswith(OBJECTS) and not key:
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            listed = self.listed(bucket, asked) if "/o" in parts.path else {"name": bucket}
            self.answer(200, json.dumps(listed).encode())
        elif key not in self.objects:
            self.answer(404, b'{"error": {"code": 404, "message": "no such object"}}')
        elif parts.path.startswith(DOWNLOADS):
            self.reads.append(key)
            self.download(self.objects[key])
        else:
            self.answer(200, json.dumps(self.described(bucket, key)).encode())

    def listed(self, bucket: str, asked: dict[str, str]) -> dict[str, object]:
        prefix, end = asked.get("prefix", ""), asked.get("delimiter", "\0")
        below = [key for key in sorted(self.objects) if key.startswith(prefix)]
        folders = {
            prefix + k[len(prefix) :].split(end)[0] + end for k in below if end in k[len(prefix) :]
        }
        files = [key for key in below if end not in key[len(prefix) :]]
        items = [self.described(bucket, key) for key in files]
        return {"items": items, "prefixes": sorted(folders)}

    def described(self, bucket: str, key: str) -> dict[str, str]:
        data = self.objects[key]
        version = hashlib.md5(data).hexdigest()
        more = {"etag": version, "updated": "2026-01-02T03:04:05.678Z", "generation": "1"}
        return {"bucket": bucket, "name": key, "size": str(len(data)), "md5Hash": version, **more}

    def download(self, data: bytes) -> None:
        first, last = 0, len(data) - 1
        if asked := self.headers.get("Range"):
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), int(end or last)
        self.answer(206 if asked else 200, data[first : last + 1])

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@contextmanager
def storage() -> Iterator[tuple[str, type[Storage]]]:
    """The address of a new server, and the class with its objects."""
    kind = type("Held", (Storage,), {"objects": {}, "reads": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", kind
        finally:
            server.shutdown()
            thread.join()
