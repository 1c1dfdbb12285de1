"""From files to look into to what is in them, with no content decoded that is known.

A file whose size no known file has cannot be a copy: it is read, hashed and decoded in one go. Any
other is hashed first, and decoded only if its digest is known neither to the catalog nor in flight.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from retrieval.decoding.pool import Pool
from retrieval.decoding.task import Answer, Task
from retrieval.indexing.changes import Look
from retrieval.records import Decoded, Failure


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in a file: a known content (a digest alone), a new one, a failure, or nothing."""

    look: Look
    digest: bytes | None = None
    decoded: Decoded | None = None
    failure: Failure | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Flight:
    """A task under way: all in one go, or hashing and then, where need be, decoding."""

    look: Look
    stage: Literal["whole", "hash", "decode"]
    digest: bytes | None = None  # known after the stage "hash"


class Intake:
    """Iterate over `outcomes`, which come in any order.

    `knows(digest)` must be true as soon as the outcome with that content was yielded.
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
        self._unhashed: dict[int, list[tuple[Look, bytes]]] = {}  # by the size of one read whole
        self._decoding: dict[bytes, list[Look]] = {}  # by the digest of one that is decoded

    def outcomes(self, looks: Iterator[Look | None], window: int) -> Iterator[Outcome | None]:
        """One for each look, `window` of which are under way at a time.

        None now and then: nothing came of it, but the caller may have other things to do.
        """
        more = True
        while True:
            while more and self._pool.pending < window:
                look = next(looks, self)
                if look is self:
                    more = False
                elif isinstance(look, Look):
                    self._begin(look)
                else:
                    yield None
            if not self._pool.pending:
                return
            answer = self._pool.collect()
            if answer is None:
                yield None
            else:
                yield from self._take(answer)

    def _begin(self, look: Look) -> None:
        if self._sizes is None:
            self._sizes = self._read_sizes()
        size = look.found.size
        if size in self._sizes:
            self._submit(Flight(look, "hash"))
        else:
            self._sizes.add(size)
            self._unhashed[size] = []
            self._submit(Flight(look, "whole"))

    def _submit(self, flight: Flight) -> None:
        key, self._next_key = self._next_key, self._next_key + 1
        self._flights[key] = flight
        side = None if flight.stage == "hash" else self._side
        if side:
            self._expect()
        self._pool.submit(Task(key, flight.look.path, side, self._max_pixels))

    def _take(self, answer: Answer) -> Iterator[Outcome]:
        flight = self._flights.pop(answer.key)
        if flight.stage == "hash" and answer.digest:
            yield from self._settle(flight.look, answer.digest)
            return
        yield self._outcome(flight.look, answer)
        if flight.stage == "whole":
            for look, digest in self._unhashed.pop(flight.look.found.size):
                yield from self._settle(look, digest)
        elif flight.digest:
            yield from self._share(flight.digest, answer)

    def _settle(self, look: Look, digest: bytes) -> Iterator[Outcome]:
        """Decide on a file that was hashed."""
        if self._knows(digest):
            yield Outcome(look, digest)
        elif digest in self._decoding:
            self._decoding[digest].append(look)
        elif look.found.size in self._unhashed:
            self._unhashed[look.found.size].append((look, digest))
        else:
            self._decoding[digest] = []
            self._submit(Flight(look, "decode", digest))

    def _share(self, digest: bytes, answer: Answer) -> Iterator[Outcome]:
        """Give the copies of a file what became of it, unless it changed since it was hashed."""
        for look in self._decoding.pop(digest):
            if answer.digest == digest and answer.failure:
                yield self._outcome(look, answer)
            else:
                yield from self._settle(look, digest)

    def _outcome(self, look: Look, answer: Answer) -> Outcome:
        if answer.decoded and answer.digest and self._knows(answer.digest):
            return Outcome(look, answer.digest)
        return Outcome(look, answer.digest, answer.decoded, answer.failure, answer.gone)
