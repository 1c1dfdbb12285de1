"""A folder of a web server that lists it on index pages, or a single file there.

fsspec has a file system for this, which is not used: it opens connections of its own, so that
private addresses, a redirect to one, or a name that resolves to another address the second time
could not be refused; it obeys no robots.txt and waits for no busy host; and its regular expression
takes every address in a page for an entry, whichever host it is of. Here everything goes through
the same `Guest` as the pictures themselves.

A page is listed by its links (`index_page`). A file's size, date and ETag are asked for by HEAD. A
server that states neither a date nor an ETag cannot say that a file is unchanged: it is read again.
"""

import errno
import hashlib
import os
import posixpath
import time
from collections.abc import Iterator
from email.message import Message
from fnmatch import fnmatchcase
from io import BufferedIOBase
from urllib.parse import urlsplit

from retrieval.decoding.formats import picture_extensions
from retrieval.decoding.kinds.names import extension_of
from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture
from retrieval.records import Found, fitting
from retrieval.sources.options import Options
from retrieval.sources.source import FileKind, WalkTooLong
from retrieval.sources.web import ranged
from retrieval.sources.web.at_once import at_once
from retrieval.sources.web.fetch import Answer, FetchFailed
from retrieval.sources.web.guest import NO_HEAD, guest_of, modified_ns
from retrieval.sources.web.index_page import MAX_LINKS, TooManyLinks, entries, is_page_of

MAX_PAGE = 64 << 20  # bytes
MAX_PAGES = 10_000  # of one walk
MAX_DEPTH = 32  # folders in folders
HEADS = 32  # questions prepared at a time; the guest sends each host only a few of them
PAGES = ("text/html", "application/xhtml+xml")

Listing = list[tuple[bytes, Found | None]]


class WebFolder:
    """What lies at and below one address of http or https."""

    def __init__(self, address: str, options: Options = ()) -> None:
        """Raises SourceUnavailable for an unknown option, or what is not an address."""
        try:
            _ = urlsplit(address).port  # raises ValueError as well
        except ValueError as error:
            said = f"{address} is not a valid address: {error}"
            raise SourceUnavailable(said) from error
        self._address = address.rstrip("/")
        self._options = options
        self._guest = guest_of(options)
        self._pages = 0
        self._above: dict[bytes, object] = {}  # folder -> what it showed, to see links in circles

    def kind(self, path: bytes) -> FileKind | None:
        """Return what is at a path: a folder if its address with a slash has a page."""
        answer = self._head(path)
        if answer and answer.status == 200 and not is_page(answer):
            return "file"
        if self._page(path):
            return "folder"
        return "file" if answer else None

    def look_at(self, path: bytes) -> Found | None:
        """Return a file by what its server says of it. Raises SourceUnavailable."""
        answer = self._head(path)
        return found(path, answer.headers) if answer else None

    def open(self, path: bytes) -> BufferedIOBase:
        try:
            return ranged.opened(self._guest, self._at(path))
        except UnreadablePicture as error:
            if error.code is FailureCode.NOT_FOUND:
                raise FileNotFoundError(errno.ENOENT, str(error), self._at(path)) from error
            raise _explained(self._at(path), error) from error

    def matching(self, pattern: str) -> list[str]:
        """Return the addresses that match a pattern with * in its last part, sorted."""
        folder, _, last = pattern.rpartition("/")
        if "*" in folder:
            raise SourceUnavailable(
                f"{pattern}: an address of https:// has * only in its last part"
            )
        names = [os.fsdecode(name) for name in WebFolder(folder, self._options)._names(b"")]
        return sorted(f"{folder}/{name}" for name in names if fnmatchcase(name, last))

    def listed(self, inside: bytes) -> Iterator[tuple[bytes, Found | None]]:
        """Yield what is in a folder: path, and the file, or None for a folder.

        Only pictures are looked at; other files have no size. Raises OSError, SourceUnavailable.
        """
        if inside.count(b"/") >= MAX_DEPTH:
            raise OSError(None, f"it lies more than {MAX_DEPTH} folders deep")
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise WalkTooLong(f"it has more than {MAX_PAGES:,} folders; name those you want")
        within = self._within(inside)
        if any(file for _, file in within):
            self._check_circle(inside, within)
        yield from within

    def _within(self, inside: bytes) -> Listing:
        names = self._names(inside)
        prefix, extensions = inside + b"/" if inside else b"", picture_extensions()
        pictures = [
            n for n, folder in names.items() if not folder and extension_of(n) in extensions
        ]
        seen = at_once(HEADS, self._seen, [prefix + name for name in pictures])
        files = dict(zip(pictures, seen, strict=True))
        within: Listing = []
        for name, is_folder in names.items():
            file = None if is_folder else files.get(name, Found(prefix + name, 0, 0, 0, 0))
            if is_folder or file:
                within.append((prefix + name, file))
        return within

    def _seen(self, path: bytes) -> Found | None:
        """Return a file of a page, also one of which the server does not tell: reading it will show
        why. None if it has gone.
        """
        try:
            return self.look_at(path)
        except SourceUnavailable:
            return unknown(path)

    def _check_circle(self, inside: bytes, within: Listing) -> None:
        """Raise OSError if a folder shows exactly what one above it does, itself included."""
        start = len(inside) + 1 if inside else 0
        shown = frozenset((path[start:], file and file[1:]) for path, file in within)
        for above in [each for each in self._above if not _is_above(each, inside)]:
            del self._above[above]
        for above, before in self._above.items():
            if before == shown:
                said = f"it shows what {self._at(above)} does; leave it out with --exclude"
                raise OSError(None, said)
        self._above[inside] = shown

    def _names(self, inside: bytes) -> dict[bytes, bool]:
        answer = self._page(inside)
        if answer is None:
            raise FileNotFoundError
        charset = answer.headers.get_content_charset("utf-8")
        try:
            page = answer.data.decode(charset, "replace")
        except LookupError:
            page = answer.data.decode("utf-8", "replace")
        try:
            return entries(answer.url, page)
        except TooManyLinks as error:
            raise OSError(None, f"its page has more than {MAX_LINKS:,} links") from error

    def _page(self, path: bytes) -> Answer | None:
        """Return the page of a folder; None if there is none."""
        at = self._at(path) + "/"
        answer = self._asked(at, most=MAX_PAGE)
        if answer is None or not is_page(answer):
            return None
        if not is_page_of(at, answer.url):
            raise SourceUnavailable(f"{at} leads elsewhere, to {answer.url}")
        return answer

    def _head(self, path: bytes) -> Answer | None:
        """Return what is said of a file; with NO_HEAD if the server does not answer this at all."""
        return self._asked(self._at(path), method="HEAD")

    def _asked(self, url: str, **how: object) -> Answer | None:
        try:
            return self._guest.ask(url, **how)
        except UnreadablePicture as error:
            if error.code is FailureCode.NOT_FOUND:
                return None
            if isinstance(error, FetchFailed) and error.status in NO_HEAD:
                return Answer(error.status, Message(), b"", url)
            raise _explained(url, error) from error

    def _at(self, path: bytes) -> str:
        return posixpath.join(self._address, os.fsdecode(path)) if path else self._address


def is_page(answer: Answer) -> bool:
    return answer.headers.get_content_type() in PAGES


def found(path: bytes, headers: Message) -> Found:
    """Return a file as its server states it. Its ctime stands for its ETag, as in `remote`."""
    size, etag = headers.get("Content-Length", ""), headers.get("ETag", "")
    modified = modified_ns(headers)
    if not size.isdecimal() or (modified is None and not etag):
        return unknown(path, fitting(int(size)) if size.isdecimal() else 0)
    version = hashlib.blake2b(etag.encode(), digest_size=8).digest() if etag else b""
    return Found(path, fitting(int(size)), modified or 0, int.from_bytes(version) >> 1, 0)


def unknown(path: bytes, size: int = 0) -> Found:
    """Return a file that may have changed since it was known."""
    return Found(path, size, time.time_ns(), 0, 0)


def _is_above(folder: bytes, inside: bytes) -> bool:
    return not folder or inside.startswith(folder + b"/")


def _explained(url: str, error: UnreadablePicture) -> SourceUnavailable:
    said = str(error)
    return SourceUnavailable(said if url in said else f"{url}: {said}")
