"""`retrieve relocate`: a folder that moved is known at its new place, if its files are there.

The next index run drops the files that it does not find, so a wrong folder would empty the library.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from retrieval.address import RemotePath
from retrieval.catalog import roots
from retrieval.catalog.reading import Catalog
from retrieval.errors import PathNotFound
from retrieval.exclusions import is_within
from retrieval.paths import place
from retrieval.sources.container import at_and_above
from retrieval.wording import counted


def relocate(catalog: Catalog, old: Path, new: Path) -> int:
    """Record that the folder or file at `old` is now at `new`; return the number of its files.

    Raises PathNotFound, also if none of its files is there with its size; warns of missing ones.
    Raises LibraryBusy, LibraryReadOnly.
    """
    for named in (old, new):
        if isinstance(named, RemotePath):
            raise PathNotFound(
                f"{named} is not on this machine; run `retrieve index` with the new address instead"
            )
    if not os.path.exists(new):
        raise PathNotFound(f"{new} does not exist; give the path where the pictures are now")
    found = [_is_there(path, size) for path, size in _expected(catalog, old, new)]
    if found and not any(found):
        raise PathNotFound(
            f"{new} has none of the {counted(len(found), 'known file')} of {old}; "
            "give the path where they are now"
        )
    files = roots.relocate(catalog, old, new)
    if missing := found.count(False):
        logging.getLogger("retrieval").warning(
            f"{missing:,} of the {counted(len(found), 'file')} are not in {new}, or have changed; "
            "the next `retrieve index` removes what is missing"
        )
    return files


def _expected(catalog: Catalog, old: Path, new: Path) -> Iterator[tuple[Path, int]]:
    """Yield where each known file should be, and its size in bytes."""
    target = Path(os.path.realpath(new))
    for root, inside in roots.known_at(catalog, old):
        folder = target if inside else place(target, roots.root_below(old, root))
        skip = len(inside) + 1 if inside else 0
        shards = {each.path: each for each in catalog.containers.within(root.id)}
        for path, size, *_ in catalog.files.within(root.id, inside):
            if shards.keys().isdisjoint(at_and_above(path)):
                yield place(folder, path[skip:]), size
        for path, shard in shards.items():
            if is_within(path, inside):
                yield place(folder, path[skip:]), shard.size


def _is_there(path: Path, size: int) -> bool:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size == size
