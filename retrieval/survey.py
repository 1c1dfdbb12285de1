"""What a scan finds, held against what the catalog knows: what is new, changed, or vanished."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from retrieval.catalog import Catalog
from retrieval.records import Found, Root
from retrieval.scan import DANGLING, Unlisted, excluding, is_excluded, look_at, scan
from retrieval.spelling import Listings
from retrieval.targets import Target

TICK = 1_000  # files; so often a survey that finds nothing new lets its caller show progress

Known = dict[bytes, tuple[bytes, int, int, int | None]]  # path -> path, size, mtime_ns, image id


@dataclass(frozen=True, slots=True)
class Look:
    """A file that is new, or not as it was."""

    root: Root
    found: Found
    known: bool  # the catalog has it, with another size or time
    image_id: int | None  # what was in it

    @property
    def path(self) -> bytes:
        """Absolute."""
        return os.path.join(os.fsencode(self.root.path), self.found.path)


@dataclass(frozen=True, slots=True)
class Vanished:
    """A file of the catalog that is no more."""

    root: Root
    path: bytes
    image_id: int | None


class Survey:
    """Iterate over `looks` to the end; then the other attributes say what else there was."""

    def __init__(
        self, catalog: Catalog, targets: Sequence[Target], exclude: Sequence[str] = ()
    ) -> None:
        self.seen = 0  # files, so far
        self.unchanged = 0
        self.vanished: list[Vanished] = []
        self.problems: list[str] = []
        self._catalog = catalog
        self._targets = targets
        self._exclude = exclude
        self._listings = Listings()

    def looks(self) -> Iterator[Look | None]:
        """The new and changed files; None now and then, where there were others only."""
        for target in self._targets:
            known = self._known(target)
            unlisted = list[Unlisted]()
            if known and _is_missing_or_empty(target) and not _is_deleted(target, known):
                self.problems.append(
                    f"{target.path} is missing or empty; the {len(known):,} files known there are "
                    f"kept (`retrieve forget` drops them)"
                )
                continue
            for found in self._find(target, known):
                if isinstance(found, Unlisted):
                    unlisted.append(found)
                elif (look := self._compare(target, found, known)) or self.seen % TICK == 0:
                    yield look
            yield from self._left_over(target, known, unlisted)

    def _known(self, target: Target) -> Known:
        return {row[0]: row for row in self._catalog.files(target.root.id, target.inside)}

    def _find(self, target: Target, known: Known) -> Iterator[Found | Unlisted]:
        root = os.fsencode(target.root.path)
        if target.path.is_dir() and target.root.entire:
            library = os.fsencode(self._catalog.folder)
            yield from scan(root, target.inside, self._exclude, library)
        else:
            for path in [target.inside] if target.inside else list(known):
                if found := self._look_at(root, path):
                    yield found

    def _compare(self, target: Target, found: Found, known: Known) -> Look | None:
        """The heart of a rescan: one look into a dictionary, and no more for a file as it was."""
        self.seen += 1
        before = known.pop(found[0], None)
        if before is None:
            return Look(target.root, found, False, None)
        if before[1] != found[1] or before[2] != found[2]:
            return Look(target.root, found, True, before[3])
        self.unchanged += 1
        return None

    def _left_over(
        self, target: Target, known: Known, unlisted: Sequence[Unlisted]
    ) -> Iterator[Look]:
        """What the scan did not come across: vanished, unless it is there, or may be."""
        self._keep(target, known, unlisted)
        root, excluded = os.fsencode(target.root.path), excluding(self._exclude)
        for path, _, _, image_id in list(known.values()):
            # What was named is looked at although no scan lists it: in a hidden folder, say.
            found = None if is_excluded(path, excluded) else self._look_at(root, path)
            if found is None:
                self.vanished.append(Vanished(target.root, path, image_id))
            elif look := self._compare(target, found, known):
                yield look

    def _look_at(self, root: bytes, path: bytes) -> Found | None:
        """A file by its name; None where a case-blind file system finds it by an old spelling."""
        found = look_at(root, path)
        return None if found and self._listings.is_alias(root, path) else found

    def _keep(self, target: Target, known: Known, unlisted: Sequence[Unlisted]) -> None:
        """Take out of `known` what lies in folders that could not be looked into, and say so."""
        for folder in unlisted:
            prefix = folder.path + b"/" if folder.path else b""
            kept = [path for path in known if path.startswith(prefix) or path == folder.path]
            for path in kept:
                del known[path]
            if kept or folder.reason != DANGLING:
                place = os.fsdecode(os.path.join(os.fsencode(target.root.path), folder.path))
                self.problems.append(
                    f"{place}: {folder.reason}; the {len(kept):,} files known there are kept"
                )


def _is_missing_or_empty(target: Target) -> bool:
    """As a disk that is not mounted: nothing is there, or a folder with nothing in it."""
    try:
        with os.scandir(target.path) as entries:
            return next(entries, None) is None
    except NotADirectoryError:
        return False
    except FileNotFoundError:
        return True
    except OSError:
        return False  # it is there; the scan will say what is wrong with it


def _is_deleted(target: Target, known: Known) -> bool:
    """Whether it is a file that was named and is no more, while its root is there."""
    whole = Target(target.root, b"")
    return target.inside in known and not _is_missing_or_empty(whole)
