"""Downloads: resumed where they stopped, verified, and only then moved into place."""

import hashlib
import http.client
import re
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from clipmodel.errors import DownloadError, TooManyOpenFiles, is_spent

CONNECT_SECONDS = 5.0  # an offline machine should find out soon
READ_SECONDS = 30.0  # between two pieces of the body
MAX_FILE_BYTES = 16 * 2**30  # bytes; the largest that is listed has ten thousand million
_CHUNK_BYTES = 2**20  # bytes


def download(
    url: str,
    sha256: str | None,
    target: Path,
    *,
    progress: bool = True,
    label: str = "",
    shown: str = "",
    size: int | None = None,
    token: str | None = None,
) -> None:
    """Fetch `url` to `target`.

    An interrupted download stays in `<target>.part`, and the next call resumes it. sha256: of the
    whole file, in hex, where it is published. shown: what errors call it; by default its address,
    and that the file may be put there by hand. size: bytes, as published. token: the value of the
    header Authorization, which no other server is sent. Raises DownloadError; after a wrong
    checksum or size nothing is kept.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fill(url, part, label or target.name, progress, token)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if is_spent(error):
            raise TooManyOpenFiles(shown or url) from error
        remedy = _remedy(None if shown else target, part)
        raise DownloadError(
            f"could not download {shown or url}: {reason_of(error)}; {remedy}"
        ) from error
    if wrong := _mistake(part, sha256, size):
        part.unlink()
        raise DownloadError(f"{shown or url} has {wrong}; the download was removed, try again")
    part.replace(target)


def _mistake(part: Path, sha256: str | None, size: int | None) -> str:
    """Return what differs from what was published; empty if nothing does."""
    if size is not None and (found := part.stat().st_size) != size:
        return f"{found:,} bytes, not {size:,}"
    if sha256 is not None and (sum_found := _sha256(part)) != sha256:
        return f"the sha256 {sum_found}, not {sha256}"
    return ""


def _fill(url: str, part: Path, label: str, progress: bool, token: str | None) -> None:
    """Bring `part` to the length that the server gives. The bar appears once a server answers."""
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have, token) as answer:
        start, total = _extent(answer, have)
        if total is not None and total > MAX_FILE_BYTES:
            raise ValueError(f"it has {total:,} bytes, more than any model")
        bar = tqdm(
            desc=label, total=total, initial=start, unit="B", unit_scale=True, disable=not progress
        )
        with bar, part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            _copy(answer, file, bar)
    have = part.stat().st_size
    if total is not None and have < total:
        raise ValueError(f"the connection ended after {have:,} of {total:,} bytes")


def _copy(answer: IO[bytes], file: BinaryIO, bar: "tqdm[Any]") -> None:
    while piece := answer.read(_CHUNK_BYTES):
        file.write(piece)
        bar.update(len(piece))
        if file.tell() > MAX_FILE_BYTES:
            file.truncate(0)  # not the beginning of a model
            raise ValueError(f"it does not end after {MAX_FILE_BYTES:,} bytes")


def _open(url: str, have: int, token: str | None) -> http.client.HTTPResponse:
    """Request the bytes from `have` on, or all of them where the server has none beyond."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError("its address is neither http nor https")
    headers = {"User-Agent": "retrieve"} | ({"Range": f"bytes={have}-"} if have else {})
    opener = urllib.request.build_opener(_HTTP, _HTTPS, _Redirects)
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  # checked above
        if token is not None:
            request.add_unredirected_header("Authorization", token)
        answer: http.client.HTTPResponse = opener.open(request)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        error.close()
        return _open(url, 0, token)
    return answer


def _extent(answer: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Return where in the file the body begins, and the file's length if the server gives it."""
    length = answer.headers.get("Content-Length")
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != have:
            raise ValueError("the server sent another range than was requested")
        return have, have + int(length) if length else None
    return 0, int(length) if length else None  # 200: it ignored the range, so start over


def reason_of(error: BaseException) -> str:
    """Return why a download failed, without the number of a system's error."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, socket.gaierror):
        return "no address is known for this name (is the machine offline?)"
    if isinstance(cause, TimeoutError):
        return "the connection timed out"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(cause) or type(error).__name__


def _remedy(target: Path | None, part: Path) -> str:
    if part.exists():
        return f"{part.stat().st_size:,} bytes are kept, and the next attempt resumes there"
    return f"try again, or save the file as {target} yourself" if target else "try again"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- urllib, with two timeouts and careful redirects ---


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.timeout = CONNECT_SECONDS
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _SecureConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        self.timeout = CONNECT_SECONDS
        super().connect()
        self.sock.settimeout(READ_SECONDS)


class _HTTP(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)


class _HTTPS(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Redirects to the same scheme or to https alone, never from https to http."""

    def redirect_request(
        self,
        request: urllib.request.Request,
        file: IO[bytes],
        code: int,
        message: str,
        headers: http.client.HTTPMessage,
        url: str,
    ) -> urllib.request.Request | None:
        if urlsplit(url).scheme not in ("https", urlsplit(request.full_url).scheme):
            raise urllib.error.URLError(f"it redirects to {url}, which is not https")
        return super().redirect_request(request, file, code, message, headers, url)
