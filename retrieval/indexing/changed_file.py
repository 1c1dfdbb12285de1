"""Files that differ from what the catalog knows."""

import os
from dataclasses import dataclass
from typing import NamedTuple

from retrieval.records import Facts, Failure, Found, Root
from retrieval.sources.address_list import entry_in
from retrieval.sources.container import Container
from retrieval.sources.entry import Entry, Part


class ChangedFile(NamedTuple):
    """A new or changed file, or member of a container."""

    root: Root
    found: Found
    known: bool  # in the catalog, with another size, time or inode
    image_id: int | None  # its image, according to the catalog
    is_alike: bool = False  # size and time are unchanged
    container: Container | None = None  # that it is a member of
    facts: Facts | None = None  # from beside it
    failure: Failure | None = None  # known before it is read
    data: bytes | None = None  # its bytes, if listing it had to read them
    version: str | None = None  # known already, of what lies at an address
    renews_facts: bool = False  # its container has changed since it was known, so they may have

    @property
    def path(self) -> bytes:
        """The absolute path."""
        return os.path.join(os.fsencode(self.root.path), self.found.path)

    @property
    def entry(self) -> Entry:
        """Where its bytes are."""
        if self.container is None:
            return Entry.of_file(self.root, self.found.path, self.found.size)
        if self.container.kind == "list":
            return entry_in(self.container, self.found.path)
        part = Part(self.found.inode, self.found.size)
        return Entry.of(self.root.path, self.container.path, part, self.root.options)


@dataclass(frozen=True, slots=True)
class Vanished:
    """A file of the catalog that no longer exists."""

    root: Root
    path: bytes
    image_id: int | None
