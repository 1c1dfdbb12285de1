"""The task of reading one file, in this process or another."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from clipmodel.config import Resize
from retrieval.decoding.formats import is_named_as_film
from retrieval.decoding.limits import FILM_PATIENCE
from retrieval.errors import UnreadablePicture
from retrieval.records import Decoded, Facts, Failure, Moment, Shot
from retrieval.sources.entry import Entry, Part


class Task(NamedTuple):
    """A file to read and hash, and what else to do with it.

    With `describe`, its metadata and difference hash are read, and whether an older version decoded
    it otherwise. Else it is decoded if there is a `size`, and a thumbnail is made if there is a
    `box`. `at` names the moments to decode, or the one to show.
    """

    key: int  # chosen by the caller, returned with the result
    path: bytes  # absolute
    size: Resize | int | None  # of the model's pixels; a number: pixels a side, cropped
    max_pixels: int
    describe: bool = False
    box: tuple[int, int] | None = None  # pixels, width and height, that a thumbnail must fit into
    part: Part | None = None  # of the file; None: all of it
    most: int = 1  # moments to decode, of a file that has several
    at: tuple[Moment, ...] = ()
    only_further: bool = False  # decode nothing unless there are several moments
    options: tuple[tuple[str, str], ...] = ()  # of the storage, if the path is an address
    data: bytes | None = None  # the bytes, if they were read already
    version: str | None = None  # known already, of what lies at an address

    def __reduce__(self) -> tuple[type["Task"], tuple[Any, ...]]:
        """Let pickle take a tuple, which is quicker than its own way."""
        return Task, tuple(self)

    @property
    def patience(self) -> int:
        """Return how many times as long as others it may take."""
        return FILM_PATIENCE if self.part is None and is_named_as_film(self.path) else 1

    @classmethod
    def of(
        cls,
        key: int,
        entry: Entry,
        size: Resize | int | None,
        max_pixels: int,
        *,
        describe: bool = False,
        box: tuple[int, int] | None = None,
        most: int = 1,
        at: Sequence[Moment] = (),
        only_further: bool = False,
    ) -> "Task":
        """Return the task of reading an entry; the rest as the fields."""
        where, moments = (entry.path, size, max_pixels), (most, tuple(at), only_further)
        return cls(key, *where, describe, box, entry.part, *moments, entry.options)

    @property
    def entry(self) -> Entry:
        """Where the bytes are."""
        return Entry(self.path, self.part, self.options)


class TaskResult(NamedTuple):
    """The result of a task: the digest and the other requested parts, or the failure."""

    key: int
    digest: bytes | None = None
    decoded: Decoded | None = None
    facts: Facts | None = None
    shot: Shot | None = None
    difference_hash: bytes | None = None
    differs: bool | None = None  # from what an older version decoded
    thumbnail: bytes | None = None  # WebP
    failure: Failure | None = None
    gone: bool = False  # the file no longer exists
    unchanged: bool = False  # nothing was read: it is still of the version that was known
    fetched: tuple[int, int | None, str | None] | None = None  # bytes, time in ns, version
    is_still: bool = False  # it has one moment, and was not decoded


def work(task: Task) -> TaskResult:
    """Do a task in this process."""
    from retrieval.decoding import decode  # Pillow, not needed if nothing is new
    from retrieval.decoding.media import medium

    digest = None
    try:
        if task.data is None:
            opened = medium.opened(task.path, task.part)
        else:
            opened = medium.of_bytes(task.data)
        digest = opened.digest
        with decode.allowing(task.max_pixels):
            if task.describe:
                facts, shot, hash, differs = opened.describe(task.max_pixels)
                return TaskResult(task.key, digest, None, facts, shot, hash, differs)
            if task.only_further and opened.is_still(task.most, task.max_pixels):
                return TaskResult(task.key, digest, is_still=True)
            how = task.max_pixels, task.most, task.at
            decoded = opened.decode(task.size, *how) if task.size else None
            at = task.at[0] if task.at else None
            small = opened.thumbnail(*task.box, task.max_pixels, at) if task.box else None
        webp = decode.webp(small) if small else None
        return TaskResult(task.key, digest, decoded, thumbnail=webp)
    except FileNotFoundError:
        return TaskResult(task.key, gone=True)
    except UnreadablePicture as error:
        return TaskResult(task.key, digest, failure=Failure.of(error))
