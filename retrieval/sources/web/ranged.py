"""Files of the web that are read from front to back or here and there: shards, lists, tables."""

import io
import tempfile
from email.message import Message
from typing import TYPE_CHECKING, cast

from retrieval.errors import UnreadablePicture
from retrieval.sources.web.fetch import FetchFailed
from retrieval.sources.web.guest import NO_HEAD

if TYPE_CHECKING:
    from retrieval.sources.web.guest import Guest

BLOCK = 4 << 20  # bytes asked for at a time
SECONDS = 120.0  # for a block
SPOOLED = 16 << 20  # bytes kept in memory of a file that comes as a whole
SECONDS_WHOLE = 6 * 3600.0
MAX_WHOLE = 1 << 40  # bytes


class Ranged(io.RawIOBase):
    """A file read in parts, each a request of its own."""

    def __init__(self, guest: "Guest", url: str, size: int) -> None:
        self._guest = guest
        self._url = url
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Raises OSError if the server does not send what it announced."""
        wanted = min(len(buffer), self._size - self._at)
        if wanted <= 0:
            return 0
        how = {"Range": f"bytes={self._at}-{self._at + wanted - 1}"}
        try:
            answer = self._guest.ask(self._url, headers=how, seconds=SECONDS, most=wanted)
        except UnreadablePicture as error:
            raise OSError(None, str(error)) from error
        if answer.status != 206 or not answer.data:
            raise OSError(None, "its server no longer sends parts of it")
        buffer[: len(answer.data)] = answer.data
        self._at += len(answer.data)
        return len(answer.data)


def opened(guest: "Guest", url: str) -> io.BufferedIOBase:
    """Open a file. Raises UnreadablePicture.

    A server that sends no parts, such as Python's http.server, sends it as a whole, into a
    temporary file.
    """
    headers = _headers(guest, url)
    size = headers.get("Content-Length", "")
    if size.isdecimal() and "bytes" in headers.get("Accept-Ranges", "").lower():
        return io.BufferedReader(Ranged(guest, url, int(size)), BLOCK)
    file = tempfile.SpooledTemporaryFile(SPOOLED)  # noqa: SIM115  # the caller closes it
    try:
        guest.ask(url, seconds=SECONDS_WHOLE, most=MAX_WHOLE, into=file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return cast(io.BufferedIOBase, file)


def _headers(guest: "Guest", url: str) -> Message:
    """Return what a server says of a file; nothing if it answers no HEAD."""
    try:
        return guest.ask(url, method="HEAD").headers
    except FetchFailed as error:
        if error.status not in NO_HEAD:
            raise
        return Message()
