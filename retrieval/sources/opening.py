"""The source of a root, and the bytes of an entry."""

import os

from retrieval.address import is_address
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Root
from retrieval.sources.entry import Entry
from retrieval.sources.folder import LocalFolder
from retrieval.sources.source import Source


def source_of(root: Root) -> Source:
    """Return the source with the files of a root. Raises SourceUnavailable without the extra."""
    if not is_address(os.fspath(root.path)):
        return LocalFolder(os.fsencode(root.path))
    from retrieval.sources.remote import Remote

    return Remote(os.fspath(root.path), root.options)


def read(entry: Entry) -> bytes:
    """Return the bytes of a picture, wherever they are.

    Raises FileNotFoundError if it is gone, and UnreadablePicture.
    """
    if not entry.is_remote:
        from retrieval.decoding import content

        return content.read(entry.path, entry.part)
    from retrieval.sources.remote import Remote

    try:
        return Remote.at(entry).read(entry.part)
    except FileNotFoundError:
        raise
    except OSError as error:
        said = f"it cannot be read: {error.strerror or error}"
        raise UnreadablePicture(said, FailureCode.UNREADABLE) from error
