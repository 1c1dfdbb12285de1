"""Folders that are gone, and where their pictures are now: what `retrieve relocate` is for."""

import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from retrieval.catalog.conditions import under
from retrieval.catalog.reading import Catalog
from retrieval.catalog.sqlite.connection import chunks, marks
from retrieval.exclusions import is_within
from retrieval.paths import place
from retrieval.records import Root

SAMPLED_PICTURES = (
    100  # pictures of a folder that is missing, whose whereabouts are looked for each time
)
MIN_SHARE_FOUND = 0.5  # of a folder's pictures that have to be in another, so that it is said

Place = tuple[int, bytes]  # root id, path relative to it


@dataclass(frozen=True, slots=True)
class Moved:
    """A folder that is gone, or empty, and another that has pictures of it at the same names."""

    old: Path
    new: Path
    found: int  # pictures of the old one that are in the new one
    known: int  # pictures of the old one

    def __str__(self) -> str:
        is_there = "empty" if self.old.is_dir() else "missing"
        return (
            f"{self.found:,} of the {self.known:,} pictures of {self.old} (which is {is_there}) "
            f"are in {self.new} now; run `retrieve relocate {quoted(self.old)} {quoted(self.new)}`"
        )


def missing_note(folder: Path, files: int, likely: Path | None) -> str:
    """What is said of a folder that is not there. likely: where it may be now."""
    where = f" to {likely}, where its pictures are as well" if likely else ""
    new = quoted(likely) if likely else "NEW"
    return (
        f"{folder} is missing or empty; the {files:,} files known there are kept: if it moved"
        f"{where}, run `retrieve relocate {quoted(folder)} {new}`; "
        f"`retrieve forget {quoted(folder)}` drops them"
    )


def quoted(path: Path) -> str:
    """For a shell."""
    return shlex.quote(os.fspath(path))


def moved(catalog: Catalog, arrived: Sequence[tuple[int, bytes, bytes]]) -> list[Moved]:
    """Of new places (root id, path, digest) of known contents: the folders that they came from, as
    far as those are gone.
    """
    new = {(root_id, path) for root_id, path, _ in arrived}
    roots = {root.id: root for root in catalog.roots()}
    votes: dict[Place, Counter[bytes]] = defaultdict(Counter)  # what is gone -> where it may be
    first_gone = _Gone(roots)
    digests = dict.fromkeys(digest for _, _, digest in arrived)
    ids = [id for id in map(catalog.images.of_digest, digests) if id is not None]
    for places in _places(catalog, ids):
        old = [(at, gone) for at in places if at not in new and (gone := first_gone(at))]
        here = [_absolute(roots, at) for at in places if at in new]
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
    """Where most of some pictures of a folder that is gone are as well, at the same names."""
    condition, values = under(inside)
    some = f"SELECT DISTINCT image_id FROM files WHERE root_id = ? AND {condition} LIMIT ?"
    ids = [
        id for (id,) in catalog.rows(some, (root.id, *values, SAMPLED_PICTURES)) if id is not None
    ]
    roots = {each.id: each for each in catalog.roots()}
    first_gone, gone = _Gone(roots), (root.id, inside)
    goals = Counter[bytes]()
    for places in _places(catalog, ids):
        rests = {_rest(at, gone) for at in places if at[0] == root.id and is_within(at[1], inside)}
        here = [_absolute(roots, at) for at in places if first_gone(at) is None]
        goals.update({goal[: -len(rest)] for rest in rests for goal in here if goal.endswith(rest)})
    [(new, found)] = goals.most_common(1) or [(b"", 0)]
    return Path(os.fsdecode(new or b"/")) if found and found >= MIN_SHARE_FOUND * len(ids) else None


def _of_votes(
    catalog: Catalog, roots: dict[int, Root], votes: dict[Place, Counter[bytes]]
) -> Iterator[Moved]:
    for (root_id, inside), goals in votes.items():
        old = place(roots[root_id].path, inside)
        known = len(catalog.places.ids_under(old))
        [(new, found)] = goals.most_common(1)
        if found >= MIN_SHARE_FOUND * known:
            yield Moved(old, Path(os.fsdecode(new or b"/")), found, known)


def _rest(at: Place, gone: Place) -> bytes:
    """What follows the folder that is gone, with a slash."""
    return b"/" + at[1][len(gone[1]) :].lstrip(b"/")


def _places(catalog: Catalog, ids: Sequence[int]) -> Iterator[list[Place]]:
    """Of each of these images."""
    for some in chunks(ids):
        found = f"SELECT image_id, root_id, path FROM files WHERE image_id IN ({marks(some)})"
        places: dict[int, list[Place]] = defaultdict(list)
        for image_id, root_id, path in catalog.rows(found, some):
            places[image_id].append((root_id, path))
        yield from places.values()


def _absolute(roots: dict[int, Root], at: Place) -> bytes:
    return os.path.join(os.fsencode(roots[at[0]].path), at[1])


class _Gone:
    """The uppermost folder above a place, in its root, that is not there any more."""

    def __init__(self, roots: dict[int, Root]) -> None:
        self._roots = roots
        self._is_gone = cache(is_missing_or_empty)
        self._folder = cache(self._first)

    def __call__(self, at: Place) -> Place | None:
        root_id, path = at
        return self._folder(root_id, path.rpartition(b"/")[0])

    def _first(self, root_id: int, folder: bytes) -> Place | None:
        root = self._roots[root_id].path
        if self._is_gone(root):
            return root_id, b""
        if not folder or place(root, folder).is_dir():
            return None
        return self._folder(root_id, folder.rpartition(b"/")[0]) or (root_id, folder)


def is_missing_or_empty(folder: Path) -> bool:
    """As a disk that is not mounted: nothing is there, or a folder with nothing in it."""
    try:
        with os.scandir(folder) as entries:
            return next(entries, None) is None
    except NotADirectoryError:
        return False
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it is there; the scan will say what is wrong with it
