"""The state that the routes of a server share: library, settings, uploads, worker processes."""

import asyncio
import ipaddress
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Request
from numpy.typing import NDArray

from clipmodel.config import Resize
from retrieval.catalog import browse
from retrieval.catalog.sqlite.pool import REST_SECONDS
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import InvalidValue, RetrieveError
from retrieval.filters import Filters
from retrieval.library import Library
from retrieval.search.question import PreparedPicture
from retrieval.web.index_jobs import IndexJobs
from retrieval.web.scratch import Scratch
from retrieval.web.thumbnails import SMALL_BOX, Thumbnails
from retrieval.web.upload_store import Uploads

DEFAULT_SIDE = 224  # pixels, as for most models, while the library has no model
# Queries answered at a time. Their words are encoded together, and 12 make the best use of two
# processors; more scans at once would only slow each other down.
MAX_CONCURRENT_QUERIES = 12
MAX_WORKERS = 2  # processes that decode uploads and draw thumbnails
MAX_RECEIVING = 4  # uploads at a time, each in a file of at most 64 MiB
MAX_SORTED_LISTS = 8  # lists of all pictures by date, one for each set of filters

HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings that a server was started with."""

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()  # further host names to accept
    token: str | None = None  # lets guests search and view; the secret admits the owner
    allow_url: bool = False
    private_addresses: bool = False  # fetch pictures from private addresses as well
    is_open: bool = False  # anyone who can reach the server may search and view
    # Printed for the owner, who started the server and alone may do what affects this machine. The
    # address of a client proves nothing: a proxy on this machine makes all of them local.
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def __post_init__(self) -> None:
        """Raise InvalidValue for a name by which no client could ask."""
        if not self.host.strip():
            raise InvalidValue("the host is empty; omit --host, or give an address such as 0.0.0.0")
        for name in self.names:
            if not (HOST_NAME.fullmatch(name) or _is_ip(name)):
                raise InvalidValue(
                    f"{name!r} is not a host name; give it as in photos.example.org, without "
                    "http://, port or path"
                )

    @property
    def is_local(self) -> bool:
        """Return whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Site:
    """The state of one server."""

    def __init__(self, library: Library, settings: ServerSettings | None = None) -> None:
        self.library = library
        self.settings = settings or ServerSettings()
        self.decoders = WorkerPool(MAX_WORKERS)
        self.thumbnails = Thumbnails(library.folder, self.decoders)
        self.uploads = Uploads()
        self.scratch = Scratch()
        self.receiving = threading.BoundedSemaphore(MAX_RECEIVING)
        self.index_jobs = IndexJobs(library)
        self._preparing = threading.Thread(target=self._prepare, name="prepare")
        self._turns = CapacityLimiter(max(MAX_CONCURRENT_QUERIES, os.cpu_count() or 1))
        self._newest: OrderedDict[tuple[int, Filters, bool], NDArray[np.int64]] = OrderedDict()

    async def in_turn(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread once one is free. Ctrl-C does not wait for it."""
        return await run_sync(work, limiter=self._turns, abandon_on_cancel=True)

    def read(self, picture: bytes | Path) -> tuple[TaskResult, PreparedPicture | None]:
        """Decode a picture to search with in worker processes, as an index run does, for each of
        the library's models. None: it cannot be read, as the result says.
        """
        if isinstance(picture, bytes):
            with self.scratch.file() as path:
                path.write_bytes(picture)
                return self.read(path)
        sizes = self.library.resizes or [Resize(DEFAULT_SIDE)]
        place = os.fsencode(picture)
        tasks = [Task(0, place, size, MAX_PIXELS, box=SMALL_BOX) for size in sizes]
        results = [each.result() for each in [self.decoders.do(task) for task in tasks]]
        first = results[0]
        decoded = [each.decoded for each in results if each.decoded]
        if not first.digest or len(decoded) < len(sizes):
            return first, None
        pixels = {size: each.pixels for size, each in zip(sizes, decoded, strict=True)}
        return first, PreparedPicture(first.digest, pixels)

    def newest_first(self, filters: Filters, pairs: bool) -> NDArray[np.int64]:
        """Return the ids of all pictures that match the filters, sorted once for all pages."""
        catalog = self.library.catalog
        key = browse.version(catalog), filters, pairs
        if (ids := self._newest.get(key)) is None:
            ids = self._newest[key] = browse.newest_first(catalog, filters, pairs)
            while len(self._newest) > MAX_SORTED_LISTS:
                self._newest.popitem(last=False)
        return ids

    def prepare(self) -> None:
        """Load the model and the index before the first request."""
        self._preparing.start()

    def _prepare(self) -> None:
        with suppress(RetrieveError):  # the first request reports it
            self.library.prepare()

    async def rest(self) -> None:
        """Release the catalog's file whenever the server is idle, so that it is complete."""
        while True:
            await asyncio.sleep(REST_SECONDS)
            await run_sync(self.library.rest)

    def close(self) -> None:
        self._preparing.join()
        self.index_jobs.close()
        self.decoders.close()
        self.thumbnails.close()
        self.scratch.close()
        self.library.close()


def _site(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


Here = Annotated[Site, Depends(_site)]
