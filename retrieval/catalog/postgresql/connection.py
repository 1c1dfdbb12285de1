"""Connections to a PostgreSQL server, and its errors, explained to users."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
    import psycopg.conninfo
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
SET default_transaction_isolation = 'read committed';
SET client_min_messages = warning
"""

Connection = psycopg.Connection[tuple[Any, ...]]


class WithoutNul(StrDumperUnknown):
    """Text as PostgreSQL takes it: it has no NUL characters, which a picture's metadata may."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", ""))


def connect(url: DatabaseURL, *, autocommit: bool = True) -> Connection:
    """Connect to the server. autocommit: False: the first statement begins a transaction.

    Raises psycopg's errors (see `explained`), and InvalidValue.
    """
    _refuse_rests_of_passwords(url)
    connection = psycopg.connect(
        url.secret,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        client_encoding="utf-8",  # not that of $PGCLIENTENCODING, which may lack characters
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


# By the state that the server gives: the error, and its sentence.
STATES: dict[str, tuple[type[RetrieveError], str]] = {
    "42P01": (LibraryNotFound, "the library at {url} is gone"),  # a table is missing
    "3F000": (LibraryNotFound, "{url} leads to no schema; make one with CREATE SCHEMA"),
    "42501": (LibraryReadOnly, "the server refuses this user at {url}: {said}"),
    "25006": (LibraryReadOnly, "cannot write to the library {url}: {said}"),
    "53100": (LibraryReadOnly, "cannot write to the library {url}: {said}"),  # a full disk
    # After statement_timeout, or by an administrator.
    "57014": (LibraryBusy, "the server of {url} stopped a statement ({said}); try again"),
    # A lock was not free in time; a deadlock; transactions that cannot follow one another.
    **dict.fromkeys(
        ("55P03", "40P01", "40001"),
        (LibraryBusy, "another process is writing to {url}; try again"),
    ),
    # A row that others refer to: another run has made its root part of another.
    "23503": (LibraryBusy, "another run has changed the folders of {url}; try again"),
}


def _explain(error: psycopg.Error, url: DatabaseURL) -> RetrieveError | None:
    said, state = _said(error), error.sqlstate or ""
    if state in STATES:
        kind, sentence = STATES[state]
        return kind(sentence.format(url=url, said=said))
    if state.startswith("XX"):
        return CatalogDamaged(f"the database {url} is damaged: {said}")
    if isinstance(error, psycopg.OperationalError):
        return _unreachable(said, state, url)
    if isinstance(error, psycopg.ProgrammingError) and not state:
        return InvalidValue(f"{url} is not a valid URL: {_without_secret(said, url)}")
    return None


def _refuse_rests_of_passwords(url: DatabaseURL) -> None:
    """Raise InvalidValue if libpq would take the rest of a password for the host or the database:
    it would ask the network for it, and show it.
    """
    if str(url) == url.secret:
        return
    with suppress(psycopg.ProgrammingError):
        read = psycopg.conninfo.conninfo_to_dict(url.secret)
        if not any("@" in str(read.get(part, "")) for part in ("host", "dbname")):
            return
    raise InvalidValue(
        f"{url} is not a valid URL; in its password, write @ as %40, / as %2F, % as %25, "
        "a space as %20"
    )


# How libpq and the server say why there is no connection, and what to do about it.
REMEDIES = (
    ("resolve host", "check the host's name"),
    *((word, "check the URL") for word in ("invalid ", "definition of service", "certificate")),
    ("support SSL", "the server has no TLS: check sslmode"),
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


TRIED = re.compile(r"connection to server .*?failed: (?:FATAL:  )?(.*)")


def _said(error: psycopg.Error) -> str:
    """Return the reason on one line, without the address that libpq begins with."""
    if said := error.diag.message_primary:
        return said
    lines = str(error).strip().splitlines() or ["the connection was lost"]
    tried = [found for line in lines if (found := TRIED.search(line))]
    line = tried[-1][1] if tried else lines[0]
    return re.sub(r"^connection (failed|is bad): |^FATAL:  ", "", line).strip()


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
