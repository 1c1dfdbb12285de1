"""The whereabouts of missing folders, for `retrieve relocate`: their pictures may be elsewhere."""

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from retrieval.address import RemotePath
from retrieval.catalog.reading import Catalog
from retrieval.exclusions import is_within
from retrieval.paths import place
from retrieval.records import Root

SAMPLED_PICTURES = 100  # of a missing folder, looked up in each run
MIN_FRACTION_FOUND = 0.5  # of a folder's pictures, in another folder that is then suggested

Place = tuple[int, bytes]  # root id, path relative to it


@dataclass(frozen=True, slots=True)
class Moved:
    """A missing or empty folder, and another with its pictures under the same names."""

    old: Path
    new: Path
    found: int  # pictures of the old folder that are in the new one
    known: int  # pictures of the old folder

    def __str__(self) -> str:
        state = "empty" if self.old.is_dir() else "missing"
        return (
            f"{self.found:,} of the {self.known:,} pictures of {self.old} (now {state}) "
            f"are in {self.new}; run `retrieve relocate {quoted(self.old)} {quoted(self.new)}`"
        )


def missing_note(folder: Path, files: int, likely: Path | None) -> str:
    """Return the note about a missing folder. likely: where it may be now."""
    if isinstance(folder, RemotePath):
        return (
            f"{folder} is missing or empty; its {files:,} known files are kept. If it moved, index "
            f"the new address; to forget the old one, run `retrieve forget {quoted(folder)}`"
        )
    where = f" to {likely}, which has the same pictures" if likely else ""
    new = quoted(likely) if likely else "NEW"
    return (
        f"{folder} is missing or empty; its {files:,} known files are kept. If it moved"
        f"{where}, run `retrieve relocate {quoted(folder)} {new}`; to remove it from the library, "
        f"run `retrieve forget {quoted(folder)}`"
    )


def quoted(path: Path) -> str:
    """Quote a path for a shell."""
    return shlex.quote(os.fspath(path))


def moved(catalog: Catalog, arrived: Sequence[tuple[int, bytes, bytes]]) -> list[Moved]:
    """Return the missing folders whose pictures arrived elsewhere, and where.

    arrived: new places of known content, as (root id, path, digest).
    """
    new = {(root_id, path) for root_id, path, _ in arrived}
    roots = {root.id: root for root in catalog.roots()}
    votes: dict[Place, Counter[bytes]] = defaultdict(Counter)  # missing folder -> where it may be
    first_gone = _Gone(roots)
    digests = dict.fromkeys(digest for _, _, digest in arrived)
    ids = [id for id in map(catalog.images.of_digest, digests) if id is not None]
    for places in catalog.files.places_of(ids):
        old = [(at, gone) for at in places if at not in new and (gone := first_gone(at))]
        here = [_absolute(roots, at) for at in places if at in new and _is_local(roots, at)]
        pairs = {
            (gone, goal[: -len(rest)])
            for at, gone in old
            for goal in here
            if goal.endswith(rest := _rest(at, gone))
        }
        for gone, goal in pairs:
            votes[gone][goal] += 1
    return sorted(_of_votes(catalog, roots, votes), key=lambda each: each.old)


def likely_place(catalog: Catalog, root: Root, inside: bytes) -> Path | None:
    """Return the folder with most of a missing folder's pictures under the same names, if any.

    Only a sample of the pictures is looked up.
    """
    ids = catalog.files.some_images(root.id, inside, SAMPLED_PICTURES)
    roots = {each.id: each for each in catalog.roots()}
    first_gone, gone = _Gone(roots), (root.id, inside)
    goals = Counter[bytes]()
    for places in catalog.files.places_of(ids):
        rests = {_rest(at, gone) for at in places if at[0] == root.id and is_within(at[1], inside)}
        there = [at for at in places if _is_local(roots, at) and first_gone(at) is None]
        here = [_absolute(roots, at) for at in there]
        goals.update({goal[: -len(rest)] for rest in rests for goal in here if goal.endswith(rest)})
    [(new, found)] = goals.most_common(1) or [(b"", 0)]
    if not found or found < MIN_FRACTION_FOUND * len(ids):
        return None
    return Path(os.fsdecode(new or b"/"))


def _of_votes(
    catalog: Catalog, roots: dict[int, Root], votes: dict[Place, Counter[bytes]]
) -> Iterator[Moved]:
    for (root_id, inside), goals in votes.items():
        old = place(roots[root_id].path, inside)
        known = len(catalog.places.ids_under(old))
        [(new, found)] = goals.most_common(1)
        if found >= MIN_FRACTION_FOUND * known:
            yield Moved(old, Path(os.fsdecode(new or b"/")), found, known)


def _rest(at: Place, gone: Place) -> bytes:
    """Return the part of a place below the missing folder, with a leading slash."""
    return b"/" + at[1][len(gone[1]) :].lstrip(b"/")


def _absolute(roots: dict[int, Root], at: Place) -> bytes:
    return os.path.join(os.fsencode(roots[at[0]].path), at[1])


def _is_local(roots: dict[int, Root], at: Place) -> bool:
    return not isinstance(roots[at[0]].path, RemotePath)


class _Gone:
    """A function from a place to the uppermost missing folder above it in its root. A shard or a
    list counts as the folder of its members; what is at an address, as there.
    """

    def __init__(self, roots: dict[int, Root]) -> None:
        self._roots = roots
        self._is_gone = cache(is_missing_or_empty)
        self._folder = cache(self._first)

    def __call__(self, at: Place) -> Place | None:
        root_id, path = at
        return self._folder(root_id, path.rpartition(b"/")[0])

    def _first(self, root_id: int, folder: bytes) -> Place | None:
        root = self._roots[root_id].path
        if isinstance(root, RemotePath):
            return None
        if self._is_gone(root):
            return root_id, b""
        if not folder or _is_there(place(root, folder)):
            return None
        return self._folder(root_id, folder.rpartition(b"/")[0]) or (root_id, folder)


def _is_there(path: Path) -> bool:
    """Return whether something is at a path, or may be: at an address, or in a file above it."""
    if isinstance(path, RemotePath):
        return True
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True


def is_missing_or_empty(folder: Path) -> bool:
    """Return whether a folder is missing or empty, like one whose disk is not mounted."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except NotADirectoryError:
        return False
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it exists; the scan will report what is wrong with it
