"""The source of a root, and the bytes of an entry."""

import os
from typing import TYPE_CHECKING

from retrieval.address import WEB, is_address, scheme_of
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Root
from retrieval.sources.entry import Entry
from retrieval.sources.folder import LocalFolder
from retrieval.sources.source import Source

if TYPE_CHECKING:
    from retrieval.sources.guest import Fetched


def source_of(root: Root) -> Source:
    """Return the source with the files of a root. Raises SourceUnavailable without the extra."""
    if not is_address(os.fspath(root.path)):
        return LocalFolder(os.fsencode(root.path))
    from retrieval.sources.remote import Remote

    return Remote(os.fspath(root.path), root.options)


def is_on_web(entry: Entry) -> bool:
    """Return whether an entry is all that lies at an address of http or https."""
    return entry.part is None and scheme_of(os.fsdecode(entry.path)) in WEB


def fetch(entry: Entry, version: str | None = None) -> "Fetched":
    """Fetch an entry from the web, unless it is still of this version. Raises UnreadablePicture."""
    from retrieval.sources import guest

    manners = dict(entry.options)
    visitor = guest.visitor(int(manners.get("per_host", 8)), manners.get("private") != "False")
    return visitor.fetch(os.fsdecode(entry.path), version)


def read(entry: Entry) -> bytes:
    """Return the bytes of a picture, wherever they are.

    Raises FileNotFoundError if it is gone, and UnreadablePicture.
    """
    if not entry.is_remote:
        from retrieval.decoding import content

        return content.read(entry.path, entry.part)
    if is_on_web(entry):
        data = fetch(entry).data
        assert data is not None  # no version was given
        return data
    from retrieval.sources.remote import Remote

    try:
        return Remote.at(entry).read(entry.part)
    except FileNotFoundError:
        raise
    except OSError as error:
        said = f"it cannot be read: {error.strerror or error}"
        raise UnreadablePicture(said, FailureCode.UNREADABLE) from error
