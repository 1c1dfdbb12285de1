"""What the routes of one server share: its library, its settings, and what it keeps in memory."""

import asyncio
import ipaddress
import os
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

from retrieval.catalog import browse
from retrieval.catalog.sqlite.pool import REST_SECONDS
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import RetrieveError
from retrieval.filters import Filters
from retrieval.library import Library
from retrieval.web.index_jobs import IndexJobs
from retrieval.web.scratch import Scratch
from retrieval.web.thumbnails import SMALL_BOX, Thumbnails
from retrieval.web.upload_store import Uploads

DEFAULT_SIDE = 224  # of a picture as most models want it, while the library has no model
# Questions that are answered at a time: words are encoded together, and of two processors 12 make
# the most; more scans at once would only hold each other up.
MAX_CONCURRENT_QUERIES = 12
MAX_WORKERS = 2  # processes that decode uploads and draw thumbnails
MAX_RECEIVING = 4  # uploads at a time, each in a file of up to 64 MiB
MAX_SORTED_LISTS = 8  # lists of all pictures by date, for as many filters

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How a server was started."""

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()  # others that it may be called by
    token: str | None = None  # lets others search and see, beside the secret
    allow_url: bool = False
    private_addresses: bool = False  # pictures are fetched from them as well
    is_open: bool = False  # anyone who can reach it may search and see
    # Printed for whoever started the server, who alone may do what concerns this machine. Where a
    # request comes from tells nothing: a proxy on this machine makes all of them local.
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    @property
    def is_local(self) -> bool:
        """Whether only this machine can ask."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class Site:
    """One server."""

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
        self._newest: OrderedDict[tuple[int, Filters], NDArray[np.int64]] = OrderedDict()

    async def in_turn(self, work: Callable[[], T]) -> T:
        """In a thread, when it is its turn; Ctrl-C does not wait for it."""
        return await run_sync(work, limiter=self._turns, abandon_on_cancel=True)

    def read(self, picture: bytes | Path) -> TaskResult:
        """A picture to search with, decoded as when indexing, in a worker process."""
        if isinstance(picture, bytes):
            with self.scratch.file() as path:
                path.write_bytes(picture)
                return self.read(path)
        side = self.library.side or DEFAULT_SIDE
        task = Task(0, os.fsencode(picture), side, MAX_PIXELS, box=SMALL_BOX)
        return self.decoders.do(task).result()

    def newest_first(self, filters: Filters) -> NDArray[np.int64]:
        """The ids of all pictures that fulfil the filters, sorted once for all pages."""
        catalog = self.library.catalog
        key = browse.version(catalog), filters
        if (ids := self._newest.get(key)) is None:
            ids = self._newest[key] = browse.newest_first(catalog, filters)
            while len(self._newest) > MAX_SORTED_LISTS:
                self._newest.popitem(last=False)
        return ids

    def prepare(self) -> None:
        """Open the model and the index while nobody asks yet."""
        self._preparing.start()

    def _prepare(self) -> None:
        with suppress(RetrieveError):  # the first who asks is told
            self.library.prepare()

    async def rest(self) -> None:
        """Let go of the catalog's file whenever nobody asks for a while, so that it is whole."""
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
