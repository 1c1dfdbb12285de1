"""Pictures to show: each is made on first request, and only once for simultaneous requests.

Small ones are thumbnails. Large ones fill a screen, and full ones are for a closer look at what
browsers cannot decode; both are kept only if the file takes long to decode.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from retrieval.catalog.thumbnail_cache import RENDITIONS_NAME, ThumbnailCache
from retrieval.decoding.formats import is_slow
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode, SourceUnavailable, UnreadablePicture
from retrieval.records import Failure, Moment
from retrieval.sources.entry import Entry
from retrieval.sources.opening import read

FILE_CHANGED = "it has changed since it was indexed; run `retrieve index` to update"
MAX_FETCHING = 8  # pictures that are not on this machine, at a time
MAX_RENDITIONS = 500_000_000  # bytes

Box = tuple[int, int]
SMALL_BOX: Box = (960, 320)  # pixels, width and height at most
LARGE_BOX: Box = (2048, 2048)
FULL_BOX: Box = (6144, 6144)
NAMES = {SMALL_BOX: b"", LARGE_BOX: b"large", FULL_BOX: b"full"}  # in the cache, behind a digest


class Drawing(NamedTuple):
    """What to draw: a picture by its digest, how large, and which moment of it."""

    digest: bytes
    box: Box
    at: Moment | None

    @property
    def name(self) -> bytes:
        """The key in a cache."""
        moment = b"@%d" % self.at.number if self.at and self.at.number else b""
        return self.digest + NAMES[self.box] + moment


class NoThumbnail(Exception):
    """A picture has no readable file any more; the message says why."""


class Thumbnails:
    """The thumbnails of a library. Use it from one event loop."""

    def __init__(self, folder: Path, decoders: WorkerPool) -> None:
        self._folder = folder
        self._decoders = decoders
        self._caches: dict[bool, ThumbnailCache] = {}  # whether it is that of the renditions
        self._opening = asyncio.Lock()
        self._fetching = CapacityLimiter(MAX_FETCHING)
        self._underway: dict[Drawing, asyncio.Task[bytes]] = {}

    async def of(
        self,
        digest: bytes,
        entries: Sequence[Entry],
        box: Box,
        format: str,
        at: Moment | None = None,
    ) -> bytes:
        """Return a WebP of the picture with this digest and format, from one of these places.

        at: the moment to show. Raises NoThumbnail.
        """
        drawing = Drawing(digest, box, at)
        if (task := self._underway.get(drawing)) is None:
            found = self._found(drawing, entries, is_kept=box == SMALL_BOX or is_slow(format))
            task = self._underway[drawing] = asyncio.create_task(found)
            task.add_done_callback(lambda _: self._underway.pop(drawing, None))
        return await asyncio.shield(task)

    def close(self) -> None:
        for cache in self._caches.values():
            cache.close()

    async def _found(self, drawing: Drawing, entries: Sequence[Entry], *, is_kept: bool) -> bytes:
        if not is_kept:
            return await self._made(drawing, entries)
        cache = await self._cache(drawing.box)
        if held := await run_sync(cache.get, drawing.name):
            return held
        webp = await self._made(drawing, entries)
        await run_sync(cache.put, drawing.name, webp)
        return webp

    async def _cache(self, box: Box) -> ThumbnailCache:
        is_large = box != SMALL_BOX
        async with self._opening:
            if is_large not in self._caches:
                more = (MAX_RENDITIONS, RENDITIONS_NAME) if is_large else ()
                self._caches[is_large] = await run_sync(ThumbnailCache, self._folder, *more)
        return self._caches[is_large]

    async def _made(self, drawing: Drawing, entries: Sequence[Entry]) -> bytes:
        """Make a thumbnail of the first that still has the digest; never show another."""
        why = "its file is gone"
        for entry in entries:
            result = await self._drawn(drawing, entry)
            found = result.digest
            if result.thumbnail and found and entry.may_be(found, drawing.digest):
                return result.thumbnail
            if not result.gone:
                why = result.failure.reason if result.failure else FILE_CHANGED
        raise NoThumbnail(why)

    async def _drawn(self, drawing: Drawing, entry: Entry) -> TaskResult:
        """Draw one entry; what is not on this machine is fetched first, a few at a time."""
        data = None
        if entry.is_remote:
            try:
                data = await run_sync(read, entry, limiter=self._fetching)
            except FileNotFoundError:
                return TaskResult(0, gone=True)
            except UnreadablePicture as error:
                return TaskResult(0, failure=Failure.of(error))
            except SourceUnavailable as error:
                return TaskResult(0, failure=Failure(FailureCode.UNREADABLE, str(error)))
        at = (drawing.at,) if drawing.at else ()
        task = Task.of(0, entry, None, MAX_PIXELS, box=drawing.box, at=at)
        return await asyncio.wrap_future(self._decoders.do(task._replace(data=data)))
