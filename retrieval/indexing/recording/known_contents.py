"""Which contents the catalog has: asked for each picture, and mostly answered without the catalog.

A Bloom filter (Bloom 1970) of all digests says for certain that a content is new; whether one is
known, the catalog says. A short run asks the catalog alone, as reading all digests takes longer.
"""

from collections.abc import Iterable

from retrieval.catalog.reading import Catalog

BITS = 16  # of the filter, for each digest that it has room for; one in 70 is then taken for known
LEAST_ROOM = 1 << 16  # digests
WORTH = 20  # digests are read in the time of one question


class KnownContents:
    """The digests of a catalog, and of what this run adds to it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._questions = 0
        self._images: int | None = None  # about how many the catalog had at first
        self._room = 0  # digests; 0: there is no filter yet
        self._count = 0
        self._bits = bytearray()

    def has(self, digest: bytes) -> bool:
        """Return whether the catalog has an image with this digest. Another process may have added
        it since this run began; then it may be unknown.
        """
        if not self._room:
            self._questions += 1
            if self._images is None:
                self._images = self._catalog.images.last_id()
            if self._questions * WORTH > self._images:
                self._read(2 * self._images)
        if self._room:
            bits, (first, second) = self._bits, self._at(digest)
            if not (bits[first >> 3] >> (first & 7) & bits[second >> 3] >> (second & 7) & 1):
                return False
        return self._catalog.images.of_digest(digest) is not None

    def add(self, digests: Iterable[bytes]) -> None:
        """Take what is in the catalog now."""
        if self._room:
            self._put(digests)
            if self._count > self._room:
                self._read(4 * self._count)

    def _read(self, room: int) -> None:
        """Fill a new filter with all digests of the catalog."""
        self._room = max(LEAST_ROOM, 1 << room.bit_length())
        self._bits, self._count = bytearray(self._room * BITS >> 3), 0
        for some in self._catalog.images.digests():
            self._put(some)

    def _put(self, digests: Iterable[bytes]) -> None:
        for digest in digests:
            self._count += 1
            for at in self._at(digest):
                self._bits[at >> 3] |= 1 << (at & 7)

    def _at(self, digest: bytes) -> tuple[int, int]:
        """Return the places of a digest's two bits; it is random already."""
        last = self._room * BITS - 1
        first, second = int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")
        return first & last, second & last
