"""A walk over a root that stats each picture once and opens none."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.decoding.formats import picture_extensions
from retrieval.errors import reason
from retrieval.exclusions import Excluded, is_excluded
from retrieval.paths import identity
from retrieval.records import Found, found_at

# Folders without the user's own pictures: caches, bins, code. Hidden ones are skipped as well.
SKIPPED_FOLDERS = frozenset(
    (
        *b"@eaDir #recycle #snapshot $RECYCLE.BIN node_modules __pycache__ lost+found".split(),
        b"System Volume Information",
    )
)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A folder or link that could not be read: the files known below it must be kept."""

    path: bytes  # relative to the root
    reason: str  # for people
    is_broken_link: bool = False


def scan(
    root: bytes,
    inside: bytes = b"",
    excluded: Excluded | None = None,
    library: bytes | None = None,
) -> Iterator[Found | Unlisted]:
    """Yield every picture under `root`/`inside`, except in the library's folder.

    Paths are relative to `root`. Links are followed, but no folder is entered twice, so cycles end;
    real folders go first, so that a link never replaces its target. There is no recursion, so any
    depth is fine.
    """
    extensions = picture_extensions()
    seen = {identity(os.stat(library))} if library and os.path.isdir(library) else set()
    folders, links = [inside], list[bytes]()
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        path = os.path.join(root, folder) if folder else root
        prefix = folder + b"/" if folder else b""
        try:
            itself = identity(os.stat(path))
            if itself in seen:
                continue
            seen.add(itself)
            with os.scandir(path) as entries:
                for entry in entries:
                    name = entry.name
                    if name.startswith(b".") or (excluded and excluded(name, prefix)):
                        continue
                    try:
                        if entry.is_file():
                            if name[name.rfind(b".") :].lower() in extensions:
                                yield found_at(prefix + name, entry.stat())
                        elif name in SKIPPED_FOLDERS:
                            continue
                        elif entry.is_dir():
                            (links if entry.is_symlink() else folders).append(prefix + name)
                        elif entry.is_symlink() and not os.path.exists(entry.path):
                            yield Unlisted(prefix + name, "the link is broken", is_broken_link=True)
                    except FileNotFoundError:
                        continue  # it has just vanished
                    except OSError as error:
                        yield Unlisted(prefix + name, reason(error))
        except OSError as error:
            yield Unlisted(folder, reason(error))


def lists(path: bytes, excluded: Excluded) -> bool:
    """Return whether a scan would list this path below a root, judging by names alone."""
    hidden = any(part.startswith(b".") or part in SKIPPED_FOLDERS for part in path.split(b"/"))
    return not hidden and not is_excluded(path, excluded)


def look_at(root: bytes, path: bytes) -> Found | None:
    """Return a named file, whatever its extension; None unless it is a regular file."""
    try:
        status = os.stat(os.path.join(root, path))
    except OSError:
        return None
    return found_at(path, status) if stat.S_ISREG(status.st_mode) else None
