"""The files and folders that an index page links to.

Apache, nginx, lighttpd, Caddy, Python's http.server and others write their pages differently, and
have in common that each entry is a link to what lies directly below the page, a folder's with a
slash at its end. Everything else is no entry: links upwards, to other hosts, to other orders of the
same page (`?C=M;O=D`), and to what lies deeper.
"""

import os
import re
import urllib.parse
from html.parser import HTMLParser
from urllib.parse import SplitResult, urljoin, urlsplit

MAX_LINKS = 200_000  # of one page

# Characters that a path in the library has as their escape: an address would end at some of them,
# and a path with others would be another one.
KEPT = frozenset("%?#/\\" + "".join(map(chr, [*range(32), 127])))
ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
DEFAULT_PORTS = {"http": 80, "https": 443}


class TooManyLinks(ValueError):
    """A page has more than MAX_LINKS links."""


class Links(HTMLParser):
    """The links of a page, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self.base: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href") if tag in ("a", "base") else None
        if href and tag == "a":
            if len(self.found) >= MAX_LINKS:
                raise TooManyLinks
            self.found.append(href.strip())
        elif href and self.base is None:
            self.base = href.strip()


def entries(url: str, page: str) -> dict[bytes, bool]:
    """Return the names of what lies directly below an index page, in order; True for a folder.

    url: of the page, after redirects; it ends in a slash. Raises TooManyLinks.
    """
    links = Links()
    links.feed(page)
    links.close()
    here, found = urlsplit(url), dict[bytes, bool]()
    base = urljoin(url, links.base) if links.base else url
    folder = readable(here.path).rstrip("/") + "/"
    for href in links.found:
        try:
            link = urlsplit(urljoin(base, href))
            is_here = not link.query and is_same_host(here, link)
        except ValueError:  # such as an invalid port
            continue
        if is_here and (name := _below(folder, readable(link.path))):
            name, is_folder = name.removesuffix("/"), name.endswith("/")
            if name not in (".", ".."):
                found.setdefault(os.fsencode(name), is_folder)
    return found


def is_same_host(one: SplitResult, other: SplitResult) -> bool:
    """Return whether two addresses have the same scheme, host and port.

    Raises ValueError for an invalid port.
    """
    return _host(one) == _host(other)


def is_page_of(asked: str, answered: str) -> bool:
    """Return whether an address still is the folder that was asked for, after redirects: they may
    add its slash, and lead from http to https.
    """
    one, other = urlsplit(asked), urlsplit(answered)
    is_safer = (one.scheme, other.scheme) == ("http", "https") and one.hostname == other.hostname
    is_default = one.port in (None, 80) and other.port in (None, 443)
    is_host = is_same_host(one, other) or (is_safer and is_default)
    folders = (readable(each.path).rstrip("/") for each in (one, other))
    return is_host and not other.query and len(set(folders)) == 1


def readable(path: str) -> str:
    """Return a path of an address with escapes as the characters they mean, but for those that
    would not lead back to the same address.
    """
    return ESCAPES.sub(lambda found: _decoded(found[0]), path)


def _below(folder: str, path: str) -> str:
    """Return the name of what lies directly in a folder, with its slash; else an empty text."""
    name = path[len(folder) :] if path.startswith(folder) else ""
    return name if name.find("/") in (-1, len(name) - 1) and name != "/" else ""


def _decoded(escapes: str) -> str:
    try:
        text = urllib.parse.unquote(escapes, errors="strict")
    except UnicodeDecodeError:
        return escapes.upper()
    return "".join(f"%{ord(each):02X}" if each in KEPT else each for each in text)


def _host(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or DEFAULT_PORTS.get(url.scheme)
