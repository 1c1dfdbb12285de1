"""The source of a root, and the bytes of an entry."""

import os
from typing import TYPE_CHECKING

from retrieval.address import WEB, is_address, scheme_of
from retrieval.errors import FailureCode, UnreadablePicture
from retrieval.records import Root
from retrieval.sources.entry import Entry
from retrieval.sources.folder import LocalFolder
from retrieval.sources.options import Options
from retrieval.sources.source import Elsewhere, Source

if TYPE_CHECKING:
    from retrieval.sources.web.guest import Fetched


def source_of(root: Root) -> Source:
    """Return the source with the files of a root. Raises SourceUnavailable without the extra."""
    address = os.fspath(root.path)
    if not is_address(address):
        return LocalFolder(os.fsencode(address))
    return source_at(address, root.options)


def source_at(address: str, options: Options) -> Elsewhere:
    """Return the source at an address. Raises SourceUnavailable without the extra."""
    if scheme_of(address) in WEB:
        from retrieval.sources.web.site import WebFolder

        return WebFolder(address, options)
    from retrieval.sources.remote import Remote

    return Remote(address, options)


def is_on_web(entry: Entry) -> bool:
    """Return whether an entry is all that lies at an address of http or https."""
    return entry.part is None and scheme_of(os.fsdecode(entry.path)) in WEB


def fetch(entry: Entry, version: str | None = None) -> "Fetched":
    """Fetch an entry from the web, unless it is still of this version. Raises UnreadablePicture."""
    from retrieval.sources.web.guest import guest_of

    return guest_of(entry.options).fetch(os.fsdecode(entry.path), version)


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
    if entry.part and scheme_of(os.fsdecode(entry.path)) in WEB:
        from retrieval.sources.web.guest import guest_of

        return guest_of(entry.options).part(os.fsdecode(entry.path), *entry.part)
    from retrieval.sources.remote import Remote

    try:
        return Remote.at(entry).read(entry.part)
    except FileNotFoundError:
        raise
    except OSError as error:
        said = f"it cannot be read: {error.strerror or error}"
        raise UnreadablePicture(said, FailureCode.UNREADABLE) from error
