"""Limits on connections: how long one may wait, and how many there may be.

Until its headers arrive a client is unknown, and sending half a request is cheap. So headers have a
deadline, and the connections that have waited longest make room for new ones. uvicorn itself limits
only requests.
"""

import asyncio
import logging
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # until the headers of a request are complete
MAX_CONNECTIONS = 256
RESERVED_DESCRIPTORS = 64  # for everything other than connections
QUIET_SECONDS = 60.0  # between two log records with the same message
MAX_KINDS = 100  # of log records that are told apart


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1, with a deadline for headers."""

    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()
        make_room(self.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # the headers of a request are complete
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()

    def _await_headers(self) -> None:
        self._stop_waiting()
        self.deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


def make_room(connections: set[Any]) -> None:
    """Close the connections that have waited longest for headers while there are too many."""
    too_many = len(connections) - room()
    if too_many > 0:
        waiting = [each for each in connections if getattr(each, "deadline", None) is not None]
        waiting.sort(key=lambda each: each.deadline.when())
        for each in waiting[:too_many]:
            each.transport.abort()


def room() -> int:
    """Return how many connections there may be: fewer than the descriptors of this process."""
    try:
        import resource

        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    except ImportError:  # not POSIX
        return MAX_CONNECTIONS
    return max(8, min(MAX_CONNECTIONS, files - RESERVED_DESCRIPTORS))


class Sparsely(logging.Filter):
    """A log filter that passes each kind of record once a minute, with a count of the others."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[object, tuple[float, int]] = {}  # kind -> when, and how many since

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.name, record.levelno, str(record.msg)[:200], _cause(record)
        now = time.monotonic()
        when, since = self._told.get(kind, (-QUIET_SECONDS, 0))
        if now < when + QUIET_SECONDS:
            self._told[kind] = when, since + 1
            return False
        if len(self._told) >= MAX_KINDS:
            self._told.clear()
        self._told[kind] = now, 0
        if since:
            record.msg = f"{record.getMessage()} (and {since:,} more like it in the last minute)"
            record.args = ()
        return True


def _cause(record: logging.LogRecord) -> type[BaseException] | None:
    return record.exc_info[0] if record.exc_info else None


def log_sparsely() -> None:
    """Limit how much a server logs, whatever it is sent."""
    for name in ("uvicorn.error", "uvicorn", "asyncio"):
        logging.getLogger(name).addFilter(Sparsely())
