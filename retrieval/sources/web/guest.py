"""Pictures from the web, fetched as a guest.

A host's robots.txt is asked first, and obeyed; a picture whose X-Robots-Tag says noindex,
noimageindex, noai or noimageai is not kept. Few requests at a time go to one host, and one that is
busy (429, 503) is asked again when it says.
"""

import threading
import time
import urllib.parse
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any
from urllib.robotparser import RobotFileParser

from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture
from retrieval.records import fitting
from retrieval.sources.web.fetch import MAX_BYTES, SECONDS, Answer, FetchFailed, ask

NAME = "retrieve"  # by which robots.txt names us
REFUSING = frozenset(("noindex", "noimageindex", "noai", "noimageai", "none"))
MAX_ROBOTS = 500 << 10  # bytes, as RFC 9309 asks for
MAX_HOSTS = 10_000  # whose robots.txt is remembered
PER_HOST = 4  # requests at a time to a host that the user named; lists have a limit of their own
TRIES = 3
MAX_WAIT = 60.0  # seconds that a busy host may ask for
BUSY = (429, 503)
GONE = (404, 410)
NO_HEAD = (405, 501)
FORBID_ALL = ("User-agent: *", "Disallow: /")
FORBIDDEN = (401, 402, 403, 451)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What lies at an address now; no bytes if it is as it was."""

    data: bytes | None
    version: str | None  # its ETag and date, to be sent along the next time
    modified_ns: int | None


@dataclass(slots=True)
class Host:
    """A host, and what it allows."""

    turns: threading.Semaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
    robots: RobotFileParser | None = None


class Guest:
    """Fetches pictures; any number of threads may."""

    def __init__(self, per_host: int, *, private: bool, seconds: float, most: int) -> None:
        """private: whether addresses may be asked that are not public. most: bytes of a picture."""
        self._per_host = per_host
        self._private = private
        self._seconds = seconds
        self._most = most
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, Host] = OrderedDict()

    def fetch(self, url: str, version: str | None = None) -> Fetched:
        """Return what is at an address, if it is no longer of this version.

        Raises UnreadablePicture.
        """
        answer = self.ask(url, headers=conditions(version))
        if answer.status == 304:
            return Fetched(None, version, None)
        if REFUSING & directives(answer.headers):
            raise refused("its X-Robots-Tag forbids it")
        return Fetched(answer.data, version_of(answer.headers), modified_ns(answer.headers))

    def part(self, url: str, offset: int, size: int) -> bytes:
        """Return some bytes of what is at an address; fewer at its end. Raises UnreadablePicture.

        A server that sends everything instead must send no more than a picture may have.
        """
        wanted = {"Range": f"bytes={offset}-{offset + size - 1}"}
        answer = self.ask(url, headers=wanted)
        return answer.data[:size] if answer.status == 206 else answer.data[offset:][:size]

    def ask(self, url: str, **how: Any) -> Answer:
        """Return what the host of an address answers. Raises UnreadablePicture.

        how: arguments of `fetch.ask`.
        """
        url = as_ascii(url)
        host = self._host(url)
        with host.turns:
            if not self._robots(host, url).can_fetch(NAME, url):
                raise refused("its host's robots.txt forbids it")
            return self._asked(url, {"seconds": self._seconds, "most": self._most, **how})

    def _asked(self, url: str, how: Mapping[str, Any]) -> Answer:
        for again in range(TRIES):
            try:
                return ask(url, private=self._private, **how)
            except FetchFailed as error:
                if error.status in GONE:
                    said = f"nothing is there ({error.status})"
                    raise UnreadablePicture(said, FailureCode.NOT_FOUND) from error
                if error.status in FORBIDDEN:
                    raise refused(f"its host refuses it ({error.status})") from error
                if error.not_public:
                    raise not_allowed(error.not_public) from error
                wait = 2.0**again if error.retry_after is None else error.retry_after
                if error.status not in BUSY or again == TRIES - 1 or wait > MAX_WAIT:
                    raise
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _host(self, url: str) -> Host:
        at = "{0.scheme}://{0.netloc}".format(urllib.parse.urlsplit(url))
        with self._lock:
            if at not in self._hosts:
                self._hosts[at] = Host(threading.Semaphore(self._per_host))
                if len(self._hosts) > MAX_HOSTS:
                    self._hosts.popitem(last=False)
            self._hosts.move_to_end(at)
            return self._hosts[at]

    def _robots(self, host: Host, url: str) -> RobotFileParser:
        """Return a host's rules, asked once. As RFC 9309 says, a host without any allows all, and
        one that fails allows nothing.
        """
        with host.lock:
            if host.robots is None:
                rules = RobotFileParser()
                at = urllib.parse.urljoin(url, "/robots.txt")
                try:
                    found = ask(at, self._seconds, MAX_ROBOTS, private=self._private)
                    rules.parse(found.data.decode("utf-8", "replace").splitlines())
                except FetchFailed as error:
                    if error.not_public:
                        raise not_allowed(error.not_public) from error
                    if error.status is None:
                        raise  # the host is out of reach, which is no rule
                    rules.parse([] if 400 <= error.status < 500 else FORBID_ALL)
                host.robots = rules
            return host.robots


def guest_of(manners: Iterable[tuple[str, str]]) -> Guest:
    """Return the guest with these options of a root or a list. Raises SourceUnavailable."""
    held = dict(manners)
    per_host, private = held.pop("per_host", str(PER_HOST)), held.pop("allow_private", "false")
    if held:
        raise SourceUnavailable(
            f"{next(iter(held))!r} is not an option of https://, only per_host and allow_private"
        )
    if not per_host.isdecimal() or int(per_host) < 1:
        raise SourceUnavailable(f"per_host is a number from 1, not {per_host!r}")
    return visitor(int(per_host), private.lower() == "true")


@cache
def visitor(per_host: int, private: bool) -> Guest:
    """Return the guest of this process with these manners, which knows its hosts."""
    return Guest(per_host, private=private, seconds=SECONDS, most=MAX_BYTES)


def as_ascii(url: str) -> str:
    """Return an address with the host in IDNA and everything else escaped.

    Raises UnreadablePicture for what is not an address.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname or parts.port == 0:
            raise ValueError("it names no host")
    except ValueError as error:
        raise UnreadablePicture(f"not a valid address: {error}") from error
    netloc = parts.netloc
    if not netloc.isascii():
        try:
            netloc = netloc.encode("idna").decode()
        except UnicodeError as error:
            raise refused(f"its host's name is invalid: {error}") from error
    path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    return urllib.parse.urlunsplit((parts.scheme, netloc, path or "/", query, ""))


def conditions(version: str | None) -> dict[str, str]:
    """Return the headers that ask for anything but this version."""
    etag, _, date = (version or "").partition("\n")
    headers = {"If-None-Match": etag, "If-Modified-Since": date}
    return {name: value for name, value in headers.items() if value}


def version_of(headers: Message) -> str | None:
    etag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    return f"{etag}\n{date}" if etag or date else None


def modified_ns(headers: Message) -> int | None:
    try:
        at = parsedate_to_datetime(headers["Last-Modified"]).timestamp()
        return fitting(int(at) * 1_000_000_000)  # some servers say the year 9999
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def directives(headers: Message) -> set[str]:
    """Return what X-Robots-Tag says to everyone, or to us: "noai", or "retrieve: noindex"."""
    found = set[str]()
    for part in ",".join(headers.get_all("X-Robots-Tag", [])).lower().split(","):
        agent, sign, rule = part.rpartition(":")
        if not sign or agent.strip() in (NAME, "*"):
            found.add(rule.strip())
    return found


def not_allowed(said: str) -> UnreadablePicture:
    """Return the error of an address that is not public, with the remedy."""
    said += "; use --allow-private to read it"
    return UnreadablePicture(said, FailureCode.UNREADABLE)  # asked again by the next run


def refused(said: str) -> UnreadablePicture:
    return UnreadablePicture(said, FailureCode.REFUSED)
