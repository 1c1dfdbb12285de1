"""Containers: files whose members are pictures."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from retrieval.records import NO_MTIME, Found

ContainerKind = Literal["tar", "list", "vectors"]

TAR = b".tar"
LISTS = tuple(b".csv .tsv .jsonl .ndjson .parquet".split())
COMPRESSED = tuple(b".tar.gz .tgz .tar.bz2 .tbz .tbz2 .tar.xz .txz .tar.zst .tzst".split())


@dataclass(frozen=True, slots=True)
class Container:
    """A file whose members are pictures, as it was when a run had read all of it.

    A member is known by the path of its container, a slash, and its name, which may be an address.
    """

    root_id: int
    path: bytes  # relative to the root
    kind: ContainerKind
    size: int = 0
    mtime_ns: int = NO_MTIME  # it has not been read to its end yet
    ctime_ns: int = 0
    options: str | None = None  # JSON: how to read it

    def now(self, found: Found) -> "Container":
        """Return the container as it was just found."""
        _, size, mtime_ns, ctime_ns, _ = found
        return replace(self, size=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)


def version_of(container: Found) -> int:
    """Return a number that stands for the times of a container, so that all of its members differ
    if it has changed. Both times are often equal, and a column has 63 bits.
    """
    return (3 * container.mtime_ns + container.ctime_ns) & ((1 << 63) - 1)


def at_and_above(path: bytes) -> Iterator[bytes]:
    """Yield a path relative to its root, and the folders above it but for the root itself."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


def is_tar(name: bytes) -> bool:
    """Return whether a file is named as a tar shard."""
    return name.lower().endswith(TAR)


def is_list(name: bytes) -> bool:
    """Return whether a file is named as a list of addresses."""
    return name.lower().endswith(LISTS)


def kind_of(name: bytes) -> ContainerKind | None:
    """Return what kind of container a name is of."""
    if is_tar(name):
        return "tar"
    return "list" if is_list(name) else None


def is_compressed_tar(name: bytes) -> bool:
    """Return whether a file is named as a compressed archive, whose members have no offsets."""
    return name.lower().endswith(COMPRESSED)
