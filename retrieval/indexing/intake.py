"""From files to file into to what is in them, with no content decoded that is known.

A file whose size no known file has cannot be a copy: it is read, hashed and decoded in one go. Any
other is hashed first, and decoded only if its digest is known neither to the catalog nor in flight.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from retrieval.decoding.pool import Pool
from retrieval.decoding.task import Task, TaskResult
from retrieval.indexing.changes import ChangedFile
from retrieval.records import Decoded, Failure


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What is in a file: a known content (a digest alone), a new one, a failure, or nothing."""

    file: ChangedFile
    digest: bytes | None = None
    decoded: Decoded | None = None
    failure: Failure | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Flight:
    """A task under way: all in one go, or hashing and then, where need be, decoding."""

    file: ChangedFile
    stage: Literal["whole", "hash", "decode"]
    digest: bytes | None = None  # known after the stage "hash"


class Intake:
    """Iterate over `results`, which come in any order.

    `knows(digest)` must be true as soon as the result with that content was yielded.
    """

    def __init__(
        self,
        pool: Pool,
        knows: Callable[[bytes], bool],
        sizes: Callable[[], set[int]],
        side: int,
        max_pixels: int,
        expect: Callable[[], None],
    ) -> None:
        """expect: called for each file that is going to be decoded."""
        self._pool = pool
        self._expect = expect
        self._knows = knows
        self._read_sizes = sizes
        self._sizes: set[int] | None = None  # of known files and of all seen in this run
        self._side = side  # pixels, of the model
        self._max_pixels = max_pixels
        self._flights: dict[int, Flight] = {}
        self._next_key = 0
        # Files that were hashed and wait for another that may have the same content:
        self._unhashed: dict[
            int, list[tuple[ChangedFile, bytes]]
        ] = {}  # by the size of one read whole
        self._decoding: dict[bytes, list[ChangedFile]] = {}  # by the digest of one that is decoded

    def results(
        self, files: Iterator[ChangedFile | None], window: int
    ) -> Iterator[IntakeResult | None]:
        """One for each file, `window` of which are under way at a time.

        None now and then: nothing came of it, but the caller may have other things to do.
        """
        more = True
        while True:
            while more and self._pool.pending < window:
                file = next(files, self)
                if file is self:
                    more = False
                elif isinstance(file, ChangedFile):
                    self._begin(file)
                else:
                    yield None
            if not self._pool.pending:
                return
            result = self._pool.collect()
            if result is None:
                yield None
            else:
                yield from self._take(result)

    def _begin(self, file: ChangedFile) -> None:
        if self._sizes is None:
            self._sizes = self._read_sizes()
        size = file.found.size
        if size in self._sizes:
            self._submit(Flight(file, "hash"))
        else:
            self._sizes.add(size)
            self._unhashed[size] = []
            self._submit(Flight(file, "whole"))

    def _submit(self, flight: Flight) -> None:
        key, self._next_key = self._next_key, self._next_key + 1
        self._flights[key] = flight
        side = None if flight.stage == "hash" else self._side
        if side:
            self._expect()
        self._pool.submit(Task(key, flight.file.path, side, self._max_pixels))

    def _take(self, result: TaskResult) -> Iterator[IntakeResult]:
        flight = self._flights.pop(result.key)
        if flight.stage == "hash" and result.digest:
            yield from self._settle(flight.file, result.digest)
            return
        yield self._result(flight.file, result)
        if flight.stage == "whole":
            for file, digest in self._unhashed.pop(flight.file.found.size):
                yield from self._settle(file, digest)
        elif flight.digest:
            yield from self._share(flight.digest, result)

    def _settle(self, file: ChangedFile, digest: bytes) -> Iterator[IntakeResult]:
        """Decide on a file that was hashed."""
        if self._knows(digest):
            yield IntakeResult(file, digest)
        elif digest in self._decoding:
            self._decoding[digest].append(file)
        elif file.found.size in self._unhashed:
            self._unhashed[file.found.size].append((file, digest))
        else:
            self._decoding[digest] = []
            self._submit(Flight(file, "decode", digest))

    def _share(self, digest: bytes, result: TaskResult) -> Iterator[IntakeResult]:
        """Give the copies of a file what became of it, unless it changed since it was hashed."""
        for file in self._decoding.pop(digest):
            if result.digest == digest and result.failure:
                yield self._result(file, result)
            else:
                yield from self._settle(file, digest)

    def _result(self, file: ChangedFile, result: TaskResult) -> IntakeResult:
        if result.decoded and result.digest and self._knows(result.digest):
            return IntakeResult(file, result.digest)
        return IntakeResult(file, result.digest, result.decoded, result.failure, result.gone)
