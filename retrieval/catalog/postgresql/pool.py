"""A pool of connections to one server, each lent to one reader at a time."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import psycopg

from retrieval.catalog.postgresql.connection import Connection

MAX_CONNECTIONS = 8  # open at a time; the server allows 100 to all its clients
REST_SECONDS = 60.0  # without a loan, after which idle connections are closed

T = TypeVar("T")

_inherited: list[Connection] = []  # of the process that this one was forked from: not ours to close


class SessionPool:
    """A pool that may be used from any number of threads, and in forked processes.

    A connection that the server closed is replaced, and what was read is read again.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._room = threading.Semaphore(MAX_CONNECTIONS)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []  # the last returned is lent first
        self._used = time.monotonic()
        self._is_closed = False

    def read(self, work: Callable[[Connection], T]) -> T:
        """Return the result of `work`, called again if the connection was lost."""
        if self._process != os.getpid():
            _inherited.extend(self._idle)
            self._begin()
        with self._room:
            if (held := self._take()) is not None:
                try:
                    return self._lend(held, work)
                except psycopg.OperationalError:
                    if not held.closed:
                        raise
                    self._drop_idle()  # the others were lost with it
            return self._lend(self._connect(), work)

    def rest(self, seconds: float = REST_SECONDS) -> None:
        """Close the idle connections after so many seconds without a loan."""
        if time.monotonic() - self._used >= seconds:
            self._drop_idle()

    def close(self) -> None:
        """Close the idle connections now, and each lent one when it is returned."""
        self._is_closed = True
        self._drop_idle()

    def open(self) -> None:
        """Keep connections again that are returned."""
        self._is_closed = False

    def _lend(self, connection: Connection, work: Callable[[Connection], T]) -> T:
        try:
            result = work(connection)
        except BaseException as error:
            if not isinstance(error, psycopg.Error) or connection.broken:
                connection.close()  # it may be in the middle of an answer
            else:
                self._give_back(connection)
            raise
        self._give_back(connection)
        return result

    def _take(self) -> Connection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            self._used = time.monotonic()
            if not self._is_closed:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(psycopg.Error):
                connection.close()
