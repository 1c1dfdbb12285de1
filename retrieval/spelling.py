"""Aliases of file names. A file system that ignores case, or the difference between Unicode's
normal forms, finds a file by spellings that no folder lists; such an alias is not another file.
"""

import os
import unicodedata
from pathlib import Path


def folded(path: bytes) -> str:
    """The same for every spelling that a case-blind file system may take for this one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", os.fsdecode(path)).casefold())


def respelled(path: Path, like: Path) -> Path:
    """Return `path` with its beginning spelled as `like`, if both name one folder and only the
    spelling of `like` is listed; otherwise `path` itself.
    """
    head, rest = Path(*path.parts[: len(like.parts)]), path.parts[len(like.parts) :]
    if head == like or folded(os.fsencode(head)) != folded(os.fsencode(like)):
        return path
    if not os.path.exists(head) or not is_alias(head, Listings()):
        return path
    return like.joinpath(*rest)


def is_alias(path: Path, listings: "Listings") -> bool:
    """Return whether an absolute path is listed only under another spelling."""
    anchor = os.fsencode(path.anchor)
    return listings.is_alias(anchor, os.fsencode(path)[len(anchor) :])


class Listings:
    """The names that folders list; each folder is read once."""

    def __init__(self) -> None:
        self._listed: dict[bytes, frozenset[bytes]] = {}
        self._folded: dict[bytes, frozenset[str]] = {}

    def is_alias(self, root: bytes, path: bytes) -> bool:
        """Return whether a part of `path`, relative to `root`, is listed only under another
        spelling. Folders that cannot be listed are taken to list it.
        """
        folder = root
        for name in path.split(b"/"):
            if name not in self._names(folder) and folded(name) in self._folded_names(folder):
                return True
            folder = os.path.join(folder, name)
        return False

    def _names(self, folder: bytes) -> frozenset[bytes]:
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder))
            except OSError:
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _folded_names(self, folder: bytes) -> frozenset[str]:
        if folder not in self._folded:
            self._folded[folder] = frozenset(map(folded, self._names(folder)))
        return self._folded[folder]
