"""A server over the pictures of tests/retrieval, asked in process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from retrieval import Library
from retrieval.locate import beside
from retrieval.web.app import application
from retrieval.web.state import ServerSettings, Site
from tests.retrieval.conftest import _indexed, home, indexed, models

__all__ = ["_indexed", "home", "indexed", "models"]  # fixtures, here as well

ADDRESS = "http://127.0.0.1:8000"
OURS = {"X-Retrieve": "1"}


@pytest.fixture
def site(indexed: Path) -> Site:
    return Site(Library.open(beside(indexed)))


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    """A browser with our page."""
    yield from asked(site)


@pytest.fixture
def local(indexed: Path) -> Iterator[TestClient]:
    """One whose server may fetch pictures, from this machine too."""
    settings = ServerSettings(allow_url=True, private_addresses=True)
    yield from asked(Site(Library.open(beside(indexed)), settings))


def asked(site: Site) -> Iterator[TestClient]:
    """A page of whoever started the server."""
    with TestClient(application(site), base_url=ADDRESS, headers=shown(site)) as client:
        yield client


def shown(site: Site) -> dict[str, str]:
    """The headers of a request that may do everything."""
    return OURS | {"Authorization": f"Bearer {site.settings.secret}"}
