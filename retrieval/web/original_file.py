"""A picture's original file, opened only if it is still the one that was indexed.

By now another file may have taken its place, for example a link to something nobody indexed.
"""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from retrieval.catalog.reading import Catalog
from retrieval.decoding.content import digest_of, digest_of_file
from retrieval.errors import SourceUnavailable, UnreadablePicture
from retrieval.paths import NO_LINKS
from retrieval.records import Image
from retrieval.sources.opening import read
from retrieval.web.thumbnails import FILE_CHANGED

HEAD_BYTES = 16  # enough to recognise a format
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | NO_LINKS


class Changed(Exception):
    """The file is not the one that was indexed; the message says how."""


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


def _boxes(head: bytes) -> bool:
    return head[4:8] == b"ftyp"


# How files begin, for the formats whose media type browsers are told.
HEADS: dict[str, Callable[[bytes], bool]] = {
    "AVIF": _boxes,
    "BMP": _starts(b"BM"),
    "GIF": _starts(b"GIF8"),
    "HEIF": _boxes,
    "ICO": _starts(b"\0\0\1\0"),
    "JPEG": _starts(b"\xff\xd8"),
    "JPEG2000": _starts(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "MPO": _starts(b"\xff\xd8"),
    "PNG": _starts(b"\x89PNG"),
    "TIFF": _starts(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "WEBP": lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP",
}


def opened(catalog: Catalog, image: Image, path: Path) -> int:
    """Open the file and return its descriptor, for the caller to close. Raises Changed, OSError.

    A link that was indexed is followed. Its target is recognised as any file is: by size and times,
    or failing that by its bytes.
    """
    descriptor = os.open(os.path.realpath(path), FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Changed("it is no longer a regular file")
        if not (catalog.places.is_as_indexed(path, status) or _is_same(catalog, image, descriptor)):
            raise Changed(FILE_CHANGED)
        begins_so = HEADS.get(image.format, _starts(b""))
        if not begins_so(_head(descriptor)):
            raise Changed(f"it is no longer {image.format}; run `retrieve index` to update")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def member(catalog: Catalog, image: Image) -> bytes | None:
    """Return the bytes of an image from a container or an address; None if none still has them."""
    digest = catalog.images.digest_of(image.id)
    for entry in catalog.containers.entries([image.id]).get(image.id, ()):
        with suppress(OSError, UnreadablePicture, SourceUnavailable):
            if digest and (entry.part or entry.is_remote):
                data = read(entry)
                if entry.may_be(digest_of(data), digest):
                    return data
    return None


def _is_same(catalog: Catalog, image: Image, descriptor: int) -> bool:
    """Return whether the bytes are those that were indexed, as after a copy or a `touch`."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        digest = digest_of_file(file)
        file.seek(0)  # the descriptor shares the position
    return digest == catalog.images.digest_of(image.id)


def _head(descriptor: int) -> bytes:
    """Read the beginning without moving the position, where the system allows."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, HEAD_BYTES, 0)
    head = os.read(descriptor, HEAD_BYTES)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return head


class OpenedFile(FileResponse):
    """A response with exactly the file that was opened, which it closes."""

    def __init__(self, descriptor: int, **more: Any) -> None:
        super().__init__(f"/dev/fd/{descriptor}", stat_result=os.fstat(descriptor), **more)
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)
