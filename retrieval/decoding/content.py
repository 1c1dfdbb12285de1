"""The bytes of a file, and the digest that names them."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path

from retrieval.decoding.limits import MAX_BYTES, MAX_FILM_BYTES
from retrieval.errors import FailureCode, UnreadablePicture, reason
from retrieval.sources.entry import Part

DIGEST_BYTES = 16
NO_MEMORY = "it needs more memory than is available"
_blake2b = partial(hashlib.blake2b, digest_size=DIGEST_BYTES)


def digest_of(data: bytes) -> bytes:
    """Return an image's digest: blake2b-128 of its file's bytes."""
    return _blake2b(data).digest()


def digest_of_file(file: BufferedReader) -> bytes:
    """Return the same digest without holding all bytes in memory. Raises OSError."""
    return hashlib.file_digest(file, _blake2b).digest()


def digest_at(path: Path | bytes) -> bytes:
    """Return the digest of a file that need not fit into memory. Raises UnreadablePicture, and
    FileNotFoundError if it is gone.
    """
    with opened(path) as file:
        _bound(os.fstat(file.fileno()).st_size, MAX_FILM_BYTES)
        return digest_of_file(file)


def head(path: Path | bytes, size: int) -> bytes:
    """Return the first bytes of a file. Raises as `digest_at` does."""
    with opened(path) as file:
        return file.read(size)


def read(path: Path | bytes, part: Part | None = None) -> bytes:
    """Return the bytes of a regular file, or of a part of it. Raises UnreadablePicture, and
    FileNotFoundError if it is gone.
    """
    with opened(path) as file:
        held = os.fstat(file.fileno()).st_size
        offset, size = part or (0, held)
        _bound(size, MAX_BYTES)
        if part and offset + size > held:
            raise UnreadablePicture("the shard ends before it", FailureCode.UNREADABLE)
        file.seek(offset)
        return file.read(size)  # not more: Python allocates before it reads


@contextmanager
def opened(path: Path | bytes) -> Iterator[BufferedReader]:
    """Open a regular file, and explain what goes wrong with it."""
    # Non-blocking: a pipe may have replaced the file since the scan.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadablePicture("it is not a regular file", FailureCode.NOT_A_FILE)
            yield file
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise UnreadablePicture(NO_MEMORY, FailureCode.OUT_OF_MEMORY) from error
    except OSError as error:
        said = f"it cannot be read: {reason(error)}"
        raise UnreadablePicture(said, FailureCode.UNREADABLE) from error


def _bound(size: int, most: int) -> None:
    if size > most:
        said = f"it has {size:,} bytes, more than {most:,}"
        raise UnreadablePicture(said, FailureCode.TOO_MANY_BYTES)
