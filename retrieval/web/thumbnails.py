"""Thumbnails: each is made on first request, and only once for simultaneous requests."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from anyio.to_thread import run_sync

from retrieval.catalog.thumbnail_cache import ThumbnailCache
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import WorkerPool
from retrieval.decoding.task import Task

FILE_CHANGED = "it has changed since it was indexed; run `retrieve index` to update"
SMALL_BOX, LARGE_BOX = (960, 320), (2048, 2048)  # pixels, width and height at most

Box = tuple[int, int]


class NoThumbnail(Exception):
    """A picture has no readable file any more; the message says why."""


class Thumbnails:
    """The thumbnails of a library. Use it from one event loop."""

    def __init__(self, folder: Path, decoders: WorkerPool) -> None:
        self._folder = folder
        self._decoders = decoders
        self._cache: ThumbnailCache | None = None
        self._underway: dict[tuple[bytes, Box], asyncio.Task[bytes]] = {}

    async def of(self, digest: bytes, paths: Sequence[Path], box: Box) -> bytes:
        """Return a WebP of the picture with this digest, from one of these files.

        Raises NoThumbnail.
        """
        key = digest, box
        if (task := self._underway.get(key)) is None:
            task = self._underway[key] = asyncio.create_task(self._found(digest, paths, box))
            task.add_done_callback(lambda _: self._underway.pop(key, None))
        return await asyncio.shield(task)

    def close(self) -> None:
        if self._cache:
            self._cache.close()

    async def _found(self, digest: bytes, paths: Sequence[Path], box: Box) -> bytes:
        if box != SMALL_BOX:
            return await self._made(digest, paths, box)
        if self._cache is None:
            self._cache = await run_sync(ThumbnailCache, self._folder)
        if held := await run_sync(self._cache.get, digest):
            return held
        webp = await self._made(digest, paths, box)
        await run_sync(self._cache.put, digest, webp)
        return webp

    async def _made(self, digest: bytes, paths: Sequence[Path], box: Box) -> bytes:
        """Make a thumbnail of the first file that still has the digest; never show another."""
        why = "its file is gone"
        for path in paths:
            task = Task(0, os.fsencode(path), None, MAX_PIXELS, box=box)
            result = await asyncio.wrap_future(self._decoders.do(task))
            if result.thumbnail and result.digest == digest:
                return result.thumbnail
            if not result.gone:
                why = result.failure.reason if result.failure else FILE_CHANGED
        raise NoThumbnail(why)
