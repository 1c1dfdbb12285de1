"""Aliases of file names. A file system that ignores case, or the difference between Unicode's
normal forms, finds a file by spellings that no folder lists; such an alias is not another file.
"""

import os
import unicodedata
from pathlib import Path


def alias_key(path: bytes) -> str:
    """The same for every spelling that a case-blind file system may take for this one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", os.fsdecode(path)).casefold())


def respelled(path: Path, like: Path) -> Path:
    """Return `path` with its beginning spelled as `like`, if both name one folder and only the
    spelling of `like` is listed; otherwise `path` itself.
    """
    head, rest = Path(*path.parts[: len(like.parts)]), path.parts[len(like.parts) :]
    if head == like or alias_key(os.fsencode(head)) != alias_key(os.fsencode(like)):
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
        self._keys: dict[bytes, frozenset[str]] = {}

    def is_alias(self, root: bytes, path: bytes) -> bool:
        """Return whether a part of `path`, relative to `root`, is listed only under another
        spelling. Folders that cannot be listed are taken to list it.
        """
        folder = root
        for name in path.split(b"/"):
            if name not in self._names(folder) and alias_key(name) in self._alias_keys(folder):
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

    def _alias_keys(self, folder: bytes) -> frozenset[str]:
        if folder not in self._keys:
            self._keys[folder] = frozenset(map(alias_key, self._names(folder)))
        return self._keys[folder]
