"""Pictures to show: each is made on first request, and only once for simultaneous requests.

Small ones are thumbnails. Large ones fill a screen, and full ones are for a closer look at what
browsers cannot decode; both are kept only if the file takes long to decode.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from anyio.to_thread import run_sync

from retrieval.catalog.thumbnail_cache import RENDITIONS_NAME, ThumbnailCache
from retrieval.decoding.formats import is_slow
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task
from retrieval.sources.entry import Entry

FILE_CHANGED = "it has changed since it was indexed; run `retrieve index` to update"
MAX_RENDITIONS = 500_000_000  # bytes

Box = tuple[int, int]
SMALL_BOX: Box = (960, 320)  # pixels, width and height at most
LARGE_BOX: Box = (2048, 2048)
FULL_BOX: Box = (6144, 6144)
NAMES = {SMALL_BOX: b"", LARGE_BOX: b"large", FULL_BOX: b"full"}  # in the cache, behind a digest


class NoThumbnail(Exception):
    """A picture has no readable file any more; the message says why."""


class Thumbnails:
    """The thumbnails of a library. Use it from one event loop."""

    def __init__(self, folder: Path, decoders: WorkerPool) -> None:
        self._folder = folder
        self._decoders = decoders
        self._caches: dict[bool, ThumbnailCache] = {}  # whether it is that of the renditions
        self._opening = asyncio.Lock()
        self._underway: dict[tuple[bytes, Box], asyncio.Task[bytes]] = {}

    async def of(self, digest: bytes, entries: Sequence[Entry], box: Box, format: str) -> bytes:
        """Return a WebP of the picture with this digest and format, from one of these places.

        Raises NoThumbnail.
        """
        key = digest, box
        if (task := self._underway.get(key)) is None:
            found = self._found(digest, entries, box, is_kept=box == SMALL_BOX or is_slow(format))
            task = self._underway[key] = asyncio.create_task(found)
            task.add_done_callback(lambda _: self._underway.pop(key, None))
        return await asyncio.shield(task)

    def close(self) -> None:
        for cache in self._caches.values():
            cache.close()

    async def _found(
        self, digest: bytes, entries: Sequence[Entry], box: Box, *, is_kept: bool
    ) -> bytes:
        if not is_kept:
            return await self._made(digest, entries, box)
        cache, key = await self._cache(box), digest + NAMES[box]
        if held := await run_sync(cache.get, key):
            return held
        webp = await self._made(digest, entries, box)
        await run_sync(cache.put, key, webp)
        return webp

    async def _cache(self, box: Box) -> ThumbnailCache:
        is_large = box != SMALL_BOX
        async with self._opening:
            if is_large not in self._caches:
                more = (MAX_RENDITIONS, RENDITIONS_NAME) if is_large else ()
                self._caches[is_large] = await run_sync(ThumbnailCache, self._folder, *more)
        return self._caches[is_large]

    async def _made(self, digest: bytes, entries: Sequence[Entry], box: Box) -> bytes:
        """Make a thumbnail of the first that still has the digest; never show another."""
        why = "its file is gone"
        for entry in entries:
            task = Task.of(0, entry, None, MAX_PIXELS, box=box)
            result = await asyncio.wrap_future(self._decoders.do(task))
            if result.thumbnail and result.digest == digest:
                return result.thumbnail
            if not result.gone:
                why = result.failure.reason if result.failure else FILE_CHANGED
        raise NoThumbnail(why)
