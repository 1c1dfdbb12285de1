"""A walk over a root that stats each picture once, and opens only files whose names say nothing.

It yields what is to be indexed; a `Ledger` takes the rest: companions, and what is left out.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.decoding.kinds.names import RAWS, Kind
from retrieval.errors import reason
from retrieval.exclusions import Excluded, is_excluded
from retrieval.indexing.companions.ledger import Ledger
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
    ledger: Ledger | None = None,
) -> Iterator[Found | Unlisted]:
    """Yield every picture under `root`/`inside`, except in the library's folder.

    Paths are relative to `root`. Links are followed, but no folder is entered twice, so cycles end;
    real folders go first, so that a link never replaces its target. There is no recursion, so any
    depth is fine. ledger: takes every other file, once its folder has been listed.
    """
    walk = Walk(excluded, Ledger() if ledger is None else ledger)
    seen = {identity(os.stat(library))} if library and os.path.isdir(library) else set()
    folders, links = walk.folders, walk.links
    folders.append(inside)
    while folders or links:
        folder = folders.pop() if folders else links.pop()
        path = os.path.join(root, folder) if folder else root
        try:
            itself = identity(os.stat(path))
            if itself in seen:
                continue
            seen.add(itself)
            yield from walk.enter(path, folder + b"/" if folder else b"")
        except OSError as error:
            yield Unlisted(folder, reason(error))


class Walk:
    """A walk: the folders yet to be entered, and the rules for what is in them."""

    def __init__(self, excluded: Excluded | None, ledger: Ledger) -> None:
        self.folders: list[bytes] = []  # relative to the root
        self.links: list[bytes] = []  # to folders
        self._excluded = excluded
        self._ledger = ledger
        self._extensions = ledger.extensions

    def enter(self, path: bytes, prefix: bytes) -> Iterator[Found | Unlisted]:
        """Yield the pictures of a folder. Raises OSError if it cannot be listed."""
        excluded, ledger, extensions = self._excluded, self._ledger, self._extensions
        pictures, endings = list[bytes](), set[bytes]()  # their names and extensions
        others = list[os.DirEntry[bytes]]()
        with os.scandir(path) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(b".") or (excluded and excluded(name, prefix)):
                    ledger.skip(entry, prefix, others)
                    continue
                try:
                    if not entry.is_file():
                        yield from self._no_file(entry, prefix)
                    elif (end := name[name.rfind(b".") :].lower()) in extensions:
                        pictures.append(name)
                        endings.add(end)
                        yield found_at(prefix + name, entry.stat())
                    else:
                        others.append(entry)
                except FileNotFoundError:
                    continue  # it has just vanished
                except OSError as error:
                    yield Unlisted(prefix + name, reason(error))
        if others or not RAWS.isdisjoint(endings):
            yield from ledger.settle(path, prefix, pictures, others)

    def _no_file(self, entry: os.DirEntry[bytes], prefix: bytes) -> Iterator[Unlisted]:
        """Take a folder, or yield a broken link."""
        name = entry.name
        if name in SKIPPED_FOLDERS:
            self._ledger.leave_out(prefix, Kind.HIDDEN_FOLDER)
        elif entry.is_dir():
            (self.links if entry.is_symlink() else self.folders).append(prefix + name)
        elif entry.is_symlink() and not os.path.exists(entry.path):
            yield Unlisted(prefix + name, "the link is broken", is_broken_link=True)


def lists(path: bytes, excluded: Excluded) -> bool:
    """Return whether a scan would list this path below a root, judging by names alone."""
    return not hides(path) and not is_excluded(path, excluded)


def hides(path: bytes) -> bool:
    """Return whether a path is hidden, or in a folder that no scan enters."""
    return any(part.startswith(b".") or part in SKIPPED_FOLDERS for part in path.split(b"/"))
