"""A walk over the objects below an address. Names alone decide: nothing is opened."""

from collections.abc import Iterator

from retrieval.decoding.formats import picture_extensions
from retrieval.decoding.kinds.names import Kind, extension_of, kind_by_name
from retrieval.errors import SourceUnavailable, reason
from retrieval.exclusions import Excluded
from retrieval.indexing.companions.ledger import Ledger
from retrieval.indexing.scan import SKIPPED_FOLDERS, Unlisted
from retrieval.records import Found
from retrieval.sources.source import Source, WalkTooLong


def scan_remote(
    source: Source, inside: bytes, excluded: Excluded | None, ledger: Ledger
) -> Iterator[Found | Unlisted]:
    """Yield every object at or below `inside` that is named as a picture, folder by folder."""
    folders, extensions = [inside], picture_extensions()
    while folders:
        folder = folders.pop()
        try:
            listed = list(source.listed(folder))
        except FileNotFoundError:
            continue  # the last object in it has just gone
        except WalkTooLong as error:
            yield Unlisted(inside, str(error))
            return
        except (OSError, SourceUnavailable) as error:
            said = reason(error) if isinstance(error, OSError) else str(error)
            yield Unlisted(folder, said)
            continue
        prefix = folder + b"/" if folder else b""
        for path, found in listed:
            name = path[len(prefix) :]
            is_hidden = name.startswith(b".")
            if not name:  # a folder without a name, whose path would be this one
                ledger.leave_out(prefix, Kind.HIDDEN_FOLDER)
            elif is_hidden or name in SKIPPED_FOLDERS or (excluded and excluded(name, prefix)):
                ledger.leave_out(prefix, _why(is_hidden or name in SKIPPED_FOLDERS, found))
            elif found is None:
                folders.append(path)
            elif (extension := extension_of(name)) in extensions:
                yield found
            else:
                ledger.leave_out(prefix, kind_by_name(extension) or Kind.UNKNOWN, extension)


def _why(is_hidden: bool, found: Found | None) -> Kind:
    if found is None:
        return Kind.HIDDEN_FOLDER if is_hidden else Kind.EXCLUDED_FOLDER
    return Kind.HIDDEN if is_hidden else Kind.EXCLUDED
