"""Containers: files whose members are pictures."""

from dataclasses import dataclass
from typing import Literal

from retrieval.records import NO_MTIME

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

    @property
    def state(self) -> tuple[int, int, int]:
        """What is compared to tell whether it has changed."""
        return self.size, self.mtime_ns, self.ctime_ns

    def holds(self, path: bytes) -> bool:
        """Return whether a path in the same root is that of a member."""
        return path.startswith(self.path + b"/")


def is_tar(name: bytes) -> bool:
    """Return whether a file is named as a tar shard."""
    return name.lower().endswith(TAR)


def is_compressed_tar(name: bytes) -> bool:
    """Return whether a file is named as a compressed archive, whose members have no offsets."""
    return name.lower().endswith(COMPRESSED)
