"""The bytes of a file, and the digest that names them."""

import hashlib
import os
import stat
from functools import partial
from io import BufferedReader
from pathlib import Path

from retrieval.decoding.limits import MAX_BYTES
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


def read(path: Path | bytes, part: Part | None = None) -> bytes:
    """Return the bytes of a regular file, or of a part of it. Raises UnreadablePicture, and
    FileNotFoundError if it is gone.
    """
    # Non-blocking: a pipe may have replaced the file since the scan.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadablePicture("it is not a regular file", FailureCode.NOT_A_FILE)
            offset, size = part or (0, status.st_size)
            if size > MAX_BYTES:
                raise UnreadablePicture(
                    f"it has {size:,} bytes, more than {MAX_BYTES:,}", FailureCode.TOO_MANY_BYTES
                )
            if part and offset + size > status.st_size:
                raise UnreadablePicture("the shard ends before it", FailureCode.UNREADABLE)
            file.seek(offset)
            return file.read(size)  # not more: Python allocates before it reads
    except FileNotFoundError:
        raise
    except MemoryError as error:
        raise UnreadablePicture(NO_MEMORY, FailureCode.OUT_OF_MEMORY) from error
    except OSError as error:
        said = f"it cannot be read: {reason(error)}"
        raise UnreadablePicture(said, FailureCode.UNREADABLE) from error
