"""An entry: where the bytes of one picture are."""

import hashlib
import os
from typing import NamedTuple

from retrieval.address import WEB, is_address, scheme_of
from retrieval.records import Root

DIGEST_BYTES = 16


def digest_of_name(name: bytes) -> bytes:
    """Return the digest of an image whose bytes nobody has read: that of its name."""
    return hashlib.blake2b(b"name\0" + name, digest_size=DIGEST_BYTES).digest()


class Part(NamedTuple):
    """A part of a file, in bytes."""

    offset: int
    size: int


class Entry(NamedTuple):
    """Where the bytes of one picture are. Small, so that any process can be told."""

    path: bytes  # absolute, or the address, of the file that holds them
    part: Part | None = None  # None: all of the file
    options: tuple[tuple[str, str], ...] = ()  # of the storage, secrets included

    @classmethod
    def of(
        cls,
        root: str | os.PathLike[str],
        file: bytes,
        part: Part | None = None,
        options: tuple[tuple[str, str], ...] = (),
    ) -> "Entry":
        """Return the entry of a file, given relative to its root."""
        return cls(os.path.join(os.fsencode(root), file), part, options)

    @classmethod
    def of_file(cls, root: Root, path: bytes, size: int) -> "Entry":
        """Return the entry of a file that is one picture. size: as listed, in bytes."""
        entry = cls.of(root.path, path, options=root.options)
        has_ranges = entry.is_remote and size and scheme_of(os.fsdecode(entry.path)) not in WEB
        # A range saves s3fs a request; and a web server need not know any.
        return entry._replace(part=Part(0, size)) if has_ranges else entry

    def may_be(self, digest: bytes, wanted: bytes) -> bool:
        """Return whether the content that was read here, by its digest, is the wanted image: it is,
        or the image is known by the name of this place alone.
        """
        return wanted in (digest, digest_of_name(self.path))

    @property
    def is_remote(self) -> bool:
        """Return whether its bytes are not on this machine."""
        return b"://" in self.path and is_address(os.fsdecode(self.path))
