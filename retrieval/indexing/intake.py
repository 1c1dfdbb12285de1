"""Intake: files are read, and new content is decoded.

A file of a size that no known file has cannot be a copy: it is read, hashed and decoded in one
task. Any other file is hashed first, and decoded only if its digest is neither in the catalog nor
in progress.
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from clipmodel.config import Resize
from retrieval.decoding.formats import is_named_as_film
from retrieval.decoding.limits import MAX_BYTES, MAX_MOMENTS
from retrieval.decoding.pool import Pool
from retrieval.decoding.task import Task, TaskResult
from retrieval.errors import FailureCode
from retrieval.indexing.changed_file import ChangedFile
from retrieval.records import Decoded, Failure
from retrieval.sources.entry import Entry

FILM_WEIGHT = 3  # of a video among the files in progress, beside its 1: it may be 60 pictures


Stage = Literal["whole", "once", "hash", "decode"]


class IntakeResult(NamedTuple):  # quicker to make than a dataclass
    """The result for a file: known content (only a digest), new content, a failure, or `gone`."""

    file: ChangedFile
    digest: bytes | None = None
    decoded: Decoded | None = None
    failure: Failure | None = None
    gone: bool = False
    unchanged: bool = False
    fetched: tuple[int, int | None, str | None] | None = None  # as in `TaskResult`


class Flight(NamedTuple):
    """A task in progress: everything at once, or first hashing and then, if needed, decoding.

    "once" is like "whole", but others of its size do not wait for it.
    """

    file: ChangedFile
    stage: Stage
    digest: bytes | None = None  # known after the stage "hash"
    is_film: bool = False  # by its name


class Intake:
    """The intake of one run. `results` come in any order.

    `knows(digest)` must be true as soon as the result with that content has been yielded.
    """

    def __init__(
        self,
        pool: Pool,
        knows: Callable[[bytes], bool],
        sizes: Callable[[], set[int]],
        resize: Resize,
        max_pixels: int,
        expect: Callable[[], None],
        max_moments: int = MAX_MOMENTS,
    ) -> None:
        """expect: called for each file before it is decoded."""
        self._max_moments = max_moments
        self._pool = pool
        self._expect = expect
        self._knows = knows
        self._read_sizes = sizes
        self._sizes: set[int] | None = None  # of known files and of those seen in this run
        self._resize = resize
        self._max_pixels = max_pixels
        self._flights: dict[int, Flight] = {}
        self._next_key = 0
        self._films = 0  # videos in progress
        # Hashed files that wait for another with perhaps the same content: by the size of one that
        # is being read whole, and by the digest of one that is being decoded.
        self._unhashed: dict[int, list[tuple[ChangedFile, bytes]]] = {}
        self._decoding: dict[bytes, list[ChangedFile]] = {}

    def results(self, files: Iterator[ChangedFile | None]) -> Iterator[IntakeResult | None]:
        """Yield a result for each file, with as many files in progress as keep the pool busy.

        Yields None now and then, so that the caller can do other work.
        """
        more = True
        while True:
            while more and len(self._flights) + self._films * FILM_WEIGHT < self._pool.window:
                file = next(files, self)
                if file is self:
                    more = False
                elif isinstance(file, ChangedFile) and (failure := file.failure or _bound(file)):
                    yield IntakeResult(file, failure=failure)
                elif isinstance(file, ChangedFile):
                    self._begin(file)
                else:
                    yield None
            if not self._flights:
                return
            result = self._pool.collect()
            if result is None:
                yield None
            else:
                yield from self._take(result)

    def _begin(self, file: ChangedFile) -> None:
        if self._sizes is None:
            self._sizes = self._read_sizes()
        size, entry = file.found.size, file.entry
        if entry.is_remote:  # read once, whatever it is
            self._submit(file, "once", entry)
        elif size in self._sizes:
            self._submit(file, "hash", entry)
        else:
            self._sizes.add(size)
            self._unhashed[size] = []
            self._submit(file, "whole", entry)

    def _submit(
        self, file: ChangedFile, stage: Stage, entry: Entry, digest: bytes | None = None
    ) -> None:
        key, self._next_key = self._next_key, self._next_key + 1
        is_film = is_named_as_film(file.found.path)
        self._flights[key] = Flight(file, stage, digest, is_film)
        self._films += is_film
        resize = None if stage == "hash" else self._resize
        if resize:
            self._expect()
        task = Task.of(key, entry, resize, self._max_pixels, most=self._max_moments)
        if file.data is not None or file.version is not None:
            task = task._replace(data=file.data, version=file.version)
        self._pool.submit(task)

    def _take(self, result: TaskResult) -> Iterator[IntakeResult]:
        flight = self._flights.pop(result.key)
        self._films -= flight.is_film
        if flight.stage == "hash" and result.digest:
            yield from self._settle(flight.file, result.digest)
            return
        yield self._result(flight.file, result)
        if flight.stage == "whole":
            for file, digest in self._unhashed.pop(flight.file.found.size):
                yield from self._settle(file, digest)
        elif flight.digest:
            yield from self._settle_copies(flight.digest, result)

    def _settle(self, file: ChangedFile, digest: bytes) -> Iterator[IntakeResult]:
        """Decide what to do with a hashed file."""
        if self._knows(digest):
            yield IntakeResult(file, digest)
        elif digest in self._decoding:
            self._decoding[digest].append(file)
        elif file.found.size in self._unhashed:
            self._unhashed[file.found.size].append((file, digest))
        else:
            self._decoding[digest] = []
            self._submit(file, "decode", file.entry, digest)

    def _settle_copies(self, digest: bytes, result: TaskResult) -> Iterator[IntakeResult]:
        """Apply a file's result to its copies, unless it changed after it was hashed."""
        for file in self._decoding.pop(digest):
            if result.digest == digest and result.failure:
                yield self._result(file, result)
            else:
                yield from self._settle(file, digest)

    def _result(self, file: ChangedFile, result: TaskResult) -> IntakeResult:
        if result.decoded and result.digest and self._knows(result.digest):
            return IntakeResult(file, result.digest, fetched=result.fetched)
        own = result.digest, result.decoded, result.failure, result.gone
        return IntakeResult(file, *own, result.unchanged, result.fetched)


def _bound(file: ChangedFile) -> Failure | None:
    """Return the failure of what is too large to be fetched; a worker bounds what it reads."""
    if file.found.size <= MAX_BYTES or not file.entry.is_remote:
        return None
    said = f"it has {file.found.size:,} bytes, more than {MAX_BYTES:,}"
    return Failure(FailureCode.TOO_MANY_BYTES, said)
