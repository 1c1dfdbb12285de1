"""Who holds a library, by advisory locks: any number of index runs, or one exclusive change.

A lock belongs to a session of the server, which ends with its process, so none is left behind. The
session's application_name tells others who holds it and how far a run is.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

import psycopg

from retrieval.catalog.postgresql import tables
from retrieval.catalog.postgresql.connection import Connection, connect
from retrieval.errors import LibraryBusy
from retrieval.locate import DatabaseURL
from retrieval.records import Progress, Underway

TELL_SECONDS = 0.5  # between two reports of progress
SCHEMA = f"(SELECT hashtext(nspname) FROM pg_namespace WHERE oid = {tables.SCHEMA})"
LOCK = f"1919251571, {SCHEMA}"  # 'retr', and the library among others
TRY = "SELECT pg_try_advisory_lock{kind}(" + LOCK + ")"
# The sessions that hold the lock. Those of other users have no name, unless we may see it.
HOLDERS = f"""
SELECT application_name, pid, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND classid = 1919251571 AND granted AND objsubid = 2
AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND objid::bigint = ({SCHEMA}::bigint & 4294967295) AND pid <> pg_backend_pid()
ORDER BY backend_start
"""

Tell = Callable[[Progress], None]


@contextmanager
def held(url: DatabaseURL, is_shared: bool) -> Iterator[Tell]:
    """Hold the library until the end. Raises LibraryBusy at once if it cannot be held now.

    Yields a function that reports progress to others.
    """
    connection, process = connect(url), os.getpid()
    try:
        kind = "_shared" if is_shared else ""
        _name(connection, f"retrieve {_process()}")
        if not connection.execute(TRY.format(kind=kind).encode()).fetchall()[0][0]:
            raise LibraryBusy(f"the library {url} is being written{_holder(connection)}")
        yield Reporter(connection).tell
    finally:
        if os.getpid() == process:  # a forked child would end its parent's session
            connection.close()


class Reporter:
    """The progress of a run, as the name of its session."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._began, self._told = time.monotonic(), -TELL_SECONDS

    def tell(self, progress: Progress) -> None:
        if (now := time.monotonic()) < self._told + TELL_SECONDS:
            return
        self._told = now
        done = f"{progress.done}/{progress.total}/{progress.encoded}/{now - self._began:.0f}"
        with suppress(psycopg.Error):  # the next transaction reports a lost server
            _name(self._connection, f"retrieve {_process()} {done}")


def underway(connection: Connection) -> Underway | None:
    """Return the progress of all index runs together; None if there is none."""
    runs = [run for name, *_ in connection.execute(HOLDERS.encode()) if (run := _run(name))]
    if not runs:
        return None
    done, total, encoded, seconds = zip(*runs, strict=True)
    return Underway(sum(done), sum(total), sum(encoded), float(max(seconds)))


def _run(name: str | None) -> tuple[int, int, int, int] | None:
    told = (name or "").rpartition(" ")[2].split("/")
    if len(told) != 4 or not all(number.isdecimal() for number in told):
        return None
    done, total, encoded, seconds = map(int, told)
    return done, total, encoded, seconds


def _holder(connection: Connection) -> str:
    """Describe who holds the library."""
    for name, pid, since in connection.execute(HOLDERS.encode()):
        who = (name or "").split(" ")
        if len(who) > 1 and who[0] == "retrieve":
            number, _, host = who[1].partition("@")
            where = f" on {host}" if host != _host() else ""
            return f" by process {number}{where}{_since(since)}; wait until it is done"
        return f" by session {pid} of the server{_since(since)}; wait until it is done"
    return "; try again"


def _since(moment: datetime | None) -> str:
    return f" since {moment.astimezone():%Y-%m-%d %H:%M:%S}" if moment else ""


def _process() -> str:
    return f"{os.getpid()}@{_host()}"


def _host() -> str:
    return socket.gethostname()[:24].replace(" ", "-")  # a name has at most 63 bytes in all


def _name(connection: Connection, name: str) -> None:
    connection.execute("SELECT set_config('application_name', %s, false)", (name,))
