"""Connections to a PostgreSQL server, and its errors, explained to users."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from retrieval.errors import (
    CatalogDamaged,
    InvalidValue,
    LibraryBusy,
    LibraryNotFound,
    LibraryReadOnly,
    LibraryUnreachable,
    NotInstalled,
    RetrieveError,
)
from retrieval.locate import DatabaseURL

try:
    import psycopg
    from psycopg.types.string import StrDumperUnknown
except ImportError as error:
    raise NotInstalled(
        f'a library in PostgreSQL needs psycopg ({error}); run `pip install "retrieve-pictures'
        '[cluster]"`'
    ) from error

CONNECT_SECONDS = 10  # that the server may take to answer
LOCK_SECONDS = 60  # that a transaction waits for another's
IDLE_SECONDS = 300  # after which the server ends a transaction whose client is silent
# Set where the server does not forbid it, so that a client that vanished holds nothing for long.
SETTINGS = f"""
SET lock_timeout = '{LOCK_SECONDS}s';
SET idle_in_transaction_session_timeout = '{IDLE_SECONDS}s';
SET tcp_keepalives_idle = 30;
SET client_min_messages = warning
"""

Connection = psycopg.Connection[tuple[Any, ...]]


class WithoutNul(StrDumperUnknown):
    """Text as PostgreSQL takes it: it has no NUL characters, which a picture's metadata may."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", ""))


def connect(url: DatabaseURL, *, autocommit: bool = True) -> Connection:
    """Connect to the server. autocommit: False: the first statement begins a transaction.

    Raises psycopg's errors; see `explained`.
    """
    connection = psycopg.connect(
        url.secret,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        fallback_application_name="retrieve",
    )
    connection.adapters.register_dumper(str, WithoutNul)
    try:
        connection.execute(SETTINGS.encode())
        connection.autocommit = autocommit
    except BaseException:
        connection.close()
        raise
    return connection


@lru_cache(500)
def translated(statement: str) -> bytes:
    """Return a statement of ours as psycopg takes it, with %s for parameters."""
    return statement.replace("%", "%%").replace("?", "%s").encode()


@contextmanager
def explained(url: DatabaseURL) -> Iterator[None]:
    """Turn errors of psycopg, also if wrapped by SQLAlchemy, into errors that users understand."""
    try:
        yield
    except RetrieveError:
        raise
    except Exception as error:
        cause = getattr(error, "orig", error)
        if isinstance(cause, psycopg.Error) and (ours := _explain(cause, url)):
            # What libpq says of an invalid URL may repeat its password.
            raise ours from (None if isinstance(ours, InvalidValue) else error)
        raise


def _explain(error: psycopg.Error, url: DatabaseURL) -> RetrieveError | None:
    said = _said(error)
    match error.sqlstate or "":
        case "42P01" | "3F000":  # a table or a schema is missing
            return LibraryNotFound(f"the library at {url} is gone")
        case "42501" | "25006":  # no permission; read-only
            return LibraryReadOnly(f"cannot write to the library {url}: {said}")
        case "53100":  # a full disk
            return LibraryReadOnly(f"cannot write to the library {url}: {said}")
        case "55P03" | "40P01" | "40001":  # a lock was not free in time; a deadlock
            return LibraryBusy(f"another process is writing to {url}; try again")
        case "23503":  # a row that others refer to: another run has made its root part of another
            return LibraryBusy(f"another run has changed the folders of {url}; try again")
        case state if state.startswith("XX"):
            return CatalogDamaged(f"the database {url} is damaged: {said}")
        case state if isinstance(error, psycopg.OperationalError):
            return _unreachable(said, state, url)
    if isinstance(error, psycopg.ProgrammingError) and error.sqlstate is None:
        return InvalidValue(f"{url} is not a valid URL: {_without_secret(said, url)}")
    return None


# How libpq and the server say why there is no connection, and what to do about it.
REMEDIES = (
    ("authentication failed", "check user and password: in the URL, PGPASSWORD or ~/.pgpass"),
    ("no password supplied", "give a password in the URL, PGPASSWORD or ~/.pgpass"),
    ("database", "create it with `createdb`"),  # "… does not exist"
    ("role", "create the user with `createuser`"),
    ("pg_hba.conf", "the server must allow this user from this machine: pg_hba.conf"),
    ("starting up", "try again in a moment"),
)


def _unreachable(said: str, state: str, url: DatabaseURL) -> RetrieveError:
    if state == "53300" or "too many" in said or "remaining connection slots" in said:
        return LibraryBusy(f"the server of {url} has too many connections; try again later")
    known = (hint for word, hint in REMEDIES if word in said and _fits(word, said))
    remedy = next(known, "is the server running?")
    return LibraryUnreachable(f"cannot reach {url}: {_without_secret(said, url)}; {remedy}")


def _fits(word: str, said: str) -> bool:
    return word not in ("database", "role") or "does not exist" in said


def _said(error: psycopg.Error) -> str:
    """Return the reason on one line, without the address that libpq begins with."""
    if said := error.diag.message_primary:
        return said
    lines = str(error).strip().splitlines() or ["the connection was lost"]
    tried = [line for line in lines if "connection to server" in line and "failed: " in line]
    line = tried[-1].partition("failed: ")[2] if tried else lines[0]
    return line.removeprefix("connection failed: ").removeprefix("FATAL:  ").strip()


def _without_secret(said: str, url: DatabaseURL) -> str:
    """Return what libpq says of a URL without its passwords."""
    return said.replace(url.secret, str(url)) if url.secret in said else _masked(said, url)


def _masked(said: str, url: DatabaseURL) -> str:
    from urllib.parse import unquote

    shown, secret = str(url), url.secret
    start = next((n for n, (a, b) in enumerate(zip(shown, secret, strict=False)) if a != b), None)
    if start is None:
        return said
    hidden = secret[start : start + len(secret) - len(shown)].strip(":")
    for each in (hidden, unquote(hidden)):
        said = said.replace(each, "…") if each else said
    return said
