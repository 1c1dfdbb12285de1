"""The known files that still exist, unchanged since they were indexed, each under one name.

Advice on redundant files depends on this, and people delete files on that advice. A link is not a
copy. Neither is a second path to the same file: a hard link, a folder reached through a link or a
second mount, or another spelling on a file system that ignores case. The content of a changed file
is unknown.
"""

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from retrieval.address import RemotePath
from retrieval.catalog.copy_names import is_copy_name
from retrieval.errors import UnreadablePicture
from retrieval.paths import identity
from retrieval.records import KnownFile, found_at
from retrieval.sources.container import version_of
from retrieval.spelling import Listings, alias_key, is_alias

Identity = tuple[int, ...]


class Present(NamedTuple):
    """A regular file that exists."""

    path: Path
    modified_ns: int
    identities: frozenset[Identity]  # no other file has any of these


class Presence(NamedTuple):
    """The existing files of some images."""

    files: Mapping[int, Sequence[Present]]  # image id -> each file once, the best to keep first
    left_out: int  # files that are missing or have changed since they were indexed


def present(
    known: Mapping[int, Iterable[KnownFile]], digest_of: Callable[[int], bytes | None] | None = None
) -> Presence:
    """Find the files of these images, by id, on disk now.

    digest_of: returns an image's content digest. With it, a file with changed metadata alone, for
    example after the whole library was copied, is read and compared; without it, such a file is
    trusted.
    """
    found: dict[int, list[Present]] = {}
    owners: dict[Identity, set[int]] = {}
    left_out = 0
    for id, files in known.items():
        digest = partial(digest_of, id) if digest_of else None
        for file in files:
            if file.container or isinstance(file.path, RemotePath):
                if (one := _elsewhere(file)) is None:
                    left_out += 1
                else:
                    found.setdefault(id, []).append(one)
                continue
            status = _status(file.path)
            if status and not stat.S_ISREG(status.st_mode):
                continue
            if status is None or not _is_as_known(status, file, digest):
                left_out += 1
            else:
                one = Present(file.path, status.st_mtime_ns, _identities(status))
                found.setdefault(id, []).append(one)
                for identity in one.identities:
                    owners.setdefault(identity, set()).add(id)
    # One file with two contents: the catalog is out of date and cannot say which is right.
    torn = {identity for identity, ids in owners.items() if len(ids) > 1}
    whole = {id: [f for f in files if not f.identities & torn] for id, files in found.items()}
    real = cache(os.path.realpath)
    return Presence({id: _each_once(files, real) for id, files in whole.items() if files}, left_out)


def _elsewhere(file: KnownFile) -> Present | None:
    """Return a member of a container, if that is as it was, or an object at an address, which is
    taken to be as the last run found it.
    """
    own = (hash(os.fspath(file.path)),)
    if file.container is None or isinstance(file.path, RemotePath):
        return Present(file.path, file.mtime_ns, frozenset([own]))
    status = _status(file.container)
    if status is None:
        return None
    if file.ctime_ns != version_of(found_at(b"", status)):
        return None
    return Present(file.path, file.mtime_ns, frozenset([(*identity(status), file.inode or 0)]))


def living(paths: Sequence[Path]) -> Sequence[Path]:
    """Return the paths of regular files, then of links to files; all paths if there are none."""
    if len(paths) < 2:
        return paths
    statuses = [(path, _status(path)) for path in paths]
    real = [path for path, status in statuses if status and stat.S_ISREG(status.st_mode)]
    links = [path for path, status in statuses if status and stat.S_ISLNK(status.st_mode)]
    return real + [path for path in links if os.path.isfile(path)] or paths


def _status(path: Path) -> os.stat_result | None:
    """Return the status of the path itself, not of a link's target; None if there is nothing."""
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _is_as_known(
    status: os.stat_result, file: KnownFile, digest: Callable[[], bytes | None] | None
) -> bool:
    """Return whether a file is as it was indexed: by size and times, or by content if only its
    ctime differs. Inodes are not compared: some file systems renumber them with every mount.
    """
    found = found_at(b"", status)
    if (found.size, found.mtime_ns) != (file.size, file.mtime_ns):
        return False
    if digest is None or file.ctime_ns in (None, found.ctime_ns):
        return True
    if (named := digest()) is None:
        return True
    from retrieval.decoding import content

    try:
        return content.digest_of(content.read(file.path)) == named
    except (OSError, UnreadablePicture):
        return False


def _identities(status: os.stat_result) -> frozenset[Identity]:
    """Return the device with the inode, and the inode with size and times, since a second mount has
    another device number.
    """
    inode = status.st_ino
    times = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return frozenset([identity(status), (inode, *times)])


def _each_once(files: Sequence[Present], real: Callable[[Path], str]) -> Sequence[Present]:
    """Return one name of each file of an image, the best to keep first.

    Paths that do not go through a link are preferred, then names that do not look like a copy's,
    then older files, then shorter paths.
    """
    if len(files) < 2:
        return files

    def worth(file: Present) -> tuple[bool, bool, int, int, Path]:
        path = file.path
        behind_link = real(path.parent) != os.fspath(path.parent)
        copy = is_copy_name(path.name)
        return behind_link, copy, file.modified_ns, len(os.fspath(path)), path

    seen: set[Identity] = set()
    chosen = []
    for file in sorted(_spelled(files), key=worth):
        if not file.identities & seen:
            chosen.append(file)
        seen |= file.identities
    return chosen


def _spelled(files: Sequence[Present]) -> Sequence[Present]:
    """Drop names that are only another spelling of a listed name."""
    spellings: dict[str, list[Present]] = {}
    for file in files:
        spellings.setdefault(alias_key(os.fsencode(file.path)), []).append(file)
    if len(spellings) == len(files):
        return files
    listings = Listings()
    kept = []
    for same in spellings.values():
        true = [file for file in same if not is_alias(file.path, listings)]
        kept += same if len(same) == 1 else true or same[:1]
    return kept
