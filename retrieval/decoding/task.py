"""What is done for one file in one go, wherever that is."""

from dataclasses import dataclass

from retrieval.errors import UnreadablePicture
from retrieval.records import Decoded, Failure, Shot


@dataclass(frozen=True, slots=True)
class Task:
    """Read a file and hash it; then decode it where `size` is given, draw it small where `box` is,
    or only describe it: its EXIF and its difference hash.
    """

    key: int  # the caller's, returned with the result
    path: bytes  # absolute
    size: int | None  # pixels a side
    max_pixels: int
    describe: bool = False
    box: tuple[int, int] | None = None  # pixels, width and height, that a thumbnail must fit into


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task: digest and what else was asked for, or why not."""

    key: int
    digest: bytes | None = None
    decoded: Decoded | None = None
    shot: Shot | None = None
    difference_hash: bytes | None = None
    thumbnail: bytes | None = None  # WebP
    failure: Failure | None = None
    gone: bool = False  # there is no such file any more


def work(task: Task) -> TaskResult:
    """One task, in this process."""
    from retrieval.decoding import (
        content,
        decode,  # Pillow, which a run that finds nothing new does without
    )

    digest = None
    try:
        data = content.read(task.path)
        digest = content.digest_of(data)
        with decode.allowing(task.max_pixels):
            if task.describe:
                shot, hash = decode.describe(data), decode.hashed(data, task.max_pixels)
                return TaskResult(task.key, digest, shot=shot, difference_hash=hash)
            decoded = decode.decode(data, task.size, task.max_pixels) if task.size else None
            small = decode.thumbnail(data, *task.box, task.max_pixels) if task.box else None
        webp = decode.webp(small) if small else None
        return TaskResult(task.key, digest, decoded, thumbnail=webp)
    except FileNotFoundError:
        return TaskResult(task.key, gone=True)
    except UnreadablePicture as error:
        return TaskResult(task.key, digest, failure=Failure.of(error))
