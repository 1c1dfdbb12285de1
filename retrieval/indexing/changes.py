"""The differences between a scan and the catalog: new, changed and vanished files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from retrieval.catalog.queries.files import Known
from retrieval.catalog.reading import Catalog
from retrieval.exclusions import is_excluded
from retrieval.indexing.changed_file import ChangedFile, Vanished
from retrieval.indexing.companions.ledger import Ledger
from retrieval.indexing.members import Members, close_containers
from retrieval.indexing.scan import Unlisted, look_at, scan
from retrieval.indexing.targets import Target
from retrieval.indexing.whereabouts import is_missing_or_empty
from retrieval.records import NO_MTIME, Found
from retrieval.sources.container import Container, at_and_above
from retrieval.spelling import Listings

FILES_PER_TICK = 1_000  # unchanged files after which a scan lets its caller show progress

FEW_RENUMBERED = 32  # up to this many files are read again if only their inodes differ

ByPath = dict[bytes, Known]


class Changes:
    """A comparison of targets with the catalog.

    Iterate over `files` to the end; then the other attributes are complete.
    """

    def __init__(
        self,
        catalog: Catalog,
        targets: Sequence[Target],
        again: bool = False,
    ) -> None:
        """again: read every file, even if its size and time are unchanged."""
        self.seen = 0  # files, so far
        self.unchanged = 0
        self.unidentified: list[tuple[int, Found]] = []  # root id; unchanged, inode unknown
        self.vanished: list[Vanished] = []
        self.missing: dict[Target, int] = {}  # missing folders -> number of files known there
        self.problems: list[str] = []
        self.ledgers: dict[Target, Ledger] = {}  # what else was seen, by target
        self.unlisted: dict[Target, list[bytes]] = {}  # folders that could not be read
        self.members: list[Members] = []  # of containers; what they say is not recorded yet
        self._catalog = catalog
        self._targets = targets
        self._again = again
        self._renumbered: list[ChangedFile] = []  # in one target; only the inode differs
        self._listings = Listings()

    def files(self) -> Iterator[ChangedFile | None]:
        """Yield the new and changed files, and None now and then while there are only others."""
        for target in self._targets:
            if target.container:
                yield from self._members(target, target.container)
                continue
            known = self._known(target)
            unlisted = list[Unlisted]()
            if known and is_missing_or_empty(target.path) and not _is_deleted(target, known):
                self.missing[target] = len(known)
                continue
            self._renumbered, before = [], self.seen
            self.ledgers[target] = Ledger(known)
            yield from self._walk(target, known, unlisted)
            self.unlisted[target] = [folder.path for folder in unlisted]
            yield from self._left_over(target, known, unlisted)
            yield from self._of_other_inodes(self.seen - before)

    def _members(self, target: Target, container: Container) -> Iterator[ChangedFile | None]:
        """Compare a container; keep its members if its root is missing, as an unmounted disk is."""
        if is_missing_or_empty(target.root.path):
            root = Target(target.root, b"")
            files = self._catalog.files.count_due(target.root.id, target.inside)[0]
            self.missing[root] = self.missing.get(root, 0) + files
            return
        close_containers(self._catalog, self.members)
        members = Members(self._catalog, target.root, container, self._again)
        self.members.append(members)
        for file in members.files():
            self._count(members)
            yield file
        self._count(members)
        self.vanished += members.vanished
        self.problems += members.problems
        self.ledgers[target] = members.ledger
        yield None

    def _count(self, members: Members) -> None:
        seen, unchanged = members.take_counts()
        self.seen += seen
        self.unchanged += unchanged

    def _known(self, target: Target) -> ByPath:
        """Return the files of a target by path, without members of containers."""
        held = self._catalog.files.within(target.root.id, target.inside)
        containers = {each.path for each in self._catalog.containers.within(target.root.id)}
        if not containers:
            return {row[0]: row for row in held}
        return {row[0]: row for row in held if containers.isdisjoint(at_and_above(row[0]))}

    def _find(self, target: Target, known: ByPath) -> Iterator[Found | Unlisted]:
        root = os.fsencode(target.root.path)
        if target.path.is_dir() and target.root.entire:
            exclusions, library = target.root.exclusions, os.fsencode(self._catalog.local_folder)
            excluded = exclusions.excluded() if exclusions else None
            yield from scan(root, target.inside, excluded, library, self.ledgers[target])
        else:
            paths = [target.inside] if target.inside else list(known)
            for path in paths:
                if found := self._look_at(root, path):
                    yield found
            self.ledgers[target].beside(root, paths)

    def _walk(
        self, target: Target, known: ByPath, unlisted: list[Unlisted]
    ) -> Iterator[ChangedFile | None]:
        """Compare the files of a scan with the catalog.

        This is the hot loop of a rescan: an unchanged file costs one dictionary lookup.
        """
        take, reads_all = known.pop, self._again
        for found in self._find(target, known):
            if isinstance(found, Unlisted):
                unlisted.append(found)
                continue
            before = take(found[0], None)
            if before is not None and before[:5] == found and not reads_all:
                self.unchanged += 1
                self.seen += 1
                if not self.seen % FILES_PER_TICK:
                    yield None
            elif file := self._compare(target, found, before):
                yield file

    def _compare(self, target: Target, found: Found, before: Known | None) -> ChangedFile | None:
        self.seen += 1
        if before is None:
            return ChangedFile(target.root, found, False, None)
        if before[:5] == found and not self._again:
            self.unchanged += 1
            return None
        return self._look_closer(ChangedFile(target.root, found, True, before[5]), before)

    def _look_closer(self, file: ChangedFile, before: Known) -> ChangedFile | None:
        """Return a file of another size, time or inode, or None to count it as unchanged.

        Equal size and time prove little: programs restore times, and files swap names.
        """
        found = file.found
        if before[1:3] != found[1:3]:
            return file
        file = replace(file, is_alike=True)
        if self._again:
            return file
        if before[3] is None or before[4] is None:
            self.unidentified.append((file.root.id, found))
            self.unchanged += 1
            return None
        if before[3] != found.ctime_ns:
            return file
        self._renumbered.append(file)
        return None

    def _of_other_inodes(self, files: int) -> Iterator[ChangedFile]:
        """Yield the files of the same size and times in other inodes, if they are few.

        If most files of a target are such, its file system renumbers them at each mount (exFAT,
        many network disks), and reading all of them again would find nothing.
        """
        if len(self._renumbered) > max(FEW_RENUMBERED, files // 2):
            self.unchanged += len(self._renumbered)
        else:
            yield from self._renumbered

    def _left_over(
        self, target: Target, known: ByPath, unlisted: Sequence[Unlisted]
    ) -> Iterator[ChangedFile]:
        """Record known files that the scan did not list as vanished; yield those that do exist."""
        self._keep(target, known, unlisted)
        root, excluded = os.fsencode(target.root.path), target.root.exclusions.excluded()
        for path, *_, image_id in list(known.values()):
            # The user may have named a file that no scan lists, for example in a hidden folder.
            found = None if is_excluded(path, excluded) else self._look_at(root, path)
            if found is None:
                self.vanished.append(Vanished(target.root, path, image_id))
            elif file := self._compare(target, found, known[path]):
                yield file

    def _look_at(self, root: bytes, path: bytes) -> Found | None:
        """Return a file by its name; None if only the case of an old name still finds it."""
        found = look_at(root, path)
        return None if found and self._listings.is_alias(root, path) else found

    def _keep(self, target: Target, known: ByPath, unlisted: Sequence[Unlisted]) -> None:
        """Remove files in unreadable folders from `known`, so that they are kept; report them."""
        for folder in unlisted:
            prefix = folder.path + b"/" if folder.path else b""
            kept = [path for path in known if path.startswith(prefix) or path == folder.path]
            for path in kept:
                del known[path]
            if kept or not folder.is_broken_link:
                place = os.fsdecode(os.path.join(os.fsencode(target.root.path), folder.path))
                note = f"; its {len(kept):,} known files are kept" if kept else ""
                self.problems.append(f"{place}: {folder.reason}{note}")


def retry_too_large(catalog: Catalog, max_pixels: int) -> None:
    """Have this run read the pictures that exceeded the lower pixel limit of an earlier one."""
    again = [replace(file, mtime_ns=NO_MTIME) for file in catalog.files.too_large(max_pixels)]
    if again:
        from retrieval.catalog import writing

        writing.record(catalog, again)


def _is_deleted(target: Target, known: ByPath) -> bool:
    """Return whether the target is a known file that was deleted while its root still exists."""
    return target.inside in known and not is_missing_or_empty(target.root.path)
