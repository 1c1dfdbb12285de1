"""Containers: files whose members are pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from retrieval.records import NO_MTIME, Found

ContainerKind = Literal["tar"]

TAR = b".tar"
COMPRESSED = tuple(b".tar.gz .tgz .tar.bz2 .tbz .tbz2 .tar.xz .txz .tar.zst .tzst".split())


@dataclass(frozen=True, slots=True)
class Container:
    """A file whose members are pictures, as it was when a run had read all of it.

    A member is known by the path of its container, a slash, and its name.
    """

    root_id: int
    path: bytes  # relative to the root
    kind: ContainerKind
    size: int = 0
    mtime_ns: int = NO_MTIME  # it has not been read to its end yet
    ctime_ns: int = 0

    def now(self, found: Found) -> "Container":
        """Return the container as it was just found."""
        _, size, mtime_ns, ctime_ns, _ = found
        return replace(self, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)


def at_and_above(path: bytes) -> Iterator[bytes]:
    """Yield a path relative to its root, and the folders above it but for the root itself."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def is_tar(name: bytes) -> bool:
    """Return whether a file is named as a tar shard."""
    return name.lower().endswith(TAR)


def is_compressed_tar(name: bytes) -> bool:
    """Return whether a file is named as a compressed archive, whose members have no offsets."""
    return name.lower().endswith(COMPRESSED)
