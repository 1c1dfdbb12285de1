"""The PostgreSQL server of this process's tests."""

from functools import cache

import pytest

from benchmarks.harness.postgresql import QUICK, Server, binaries
from retrieval.locate import DatabaseURL

both_databases = pytest.mark.databases("sqlite", "postgresql")


@cache
def server() -> "Server":
    """The server of this process's tests, started by the first that needs it."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    return Server(QUICK)


def new_place() -> DatabaseURL:
    """Where a new library may be on that server."""
    return DatabaseURL(server().new_schema())


def remove() -> None:
    """Stop the server, if any was started, and remove its files."""
    if server.cache_info().currsize:
        server().remove()
        server.cache_clear()
