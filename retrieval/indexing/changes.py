"""The differences between a scan and the catalog: new, changed and vanished files."""

import os
from collections.abc import Collection, Iterator, Sequence

from retrieval.address import WEB, RemotePath, scheme_of
from retrieval.catalog.queries.files import Known
from retrieval.catalog.reading import Catalog
from retrieval.decoding.formats import abilities
from retrieval.errors import SourceUnavailable
from retrieval.exclusions import is_excluded
from retrieval.indexing.changed_file import ChangedFile, Vanished
from retrieval.indexing.companions.ledger import Ledger
from retrieval.indexing.elsewhere.listed import Addresses
from retrieval.indexing.elsewhere.members import Members, close_containers
from retrieval.indexing.elsewhere.remote_scan import scan_remote
from retrieval.indexing.options import MOVING, Moving
from retrieval.indexing.scan import Unlisted, scan
from retrieval.indexing.targets import Target
from retrieval.indexing.whereabouts import is_missing_or_empty
from retrieval.records import NO_MTIME, Found, Root
from retrieval.sources.container import Container, at_and_above
from retrieval.sources.folder import LocalFolder
from retrieval.sources.opening import source_of
from retrieval.sources.source import Source
from retrieval.spelling import Listings

FILES_PER_TICK = 1_000  # unchanged files after which a scan lets its caller show progress

ABILITIES = "decoding.abilities"  # the setting with those of all earlier runs

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
        moving: Moving = MOVING,
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
        self._moving = moving
        self._renumbered: list[ChangedFile] = []  # in one target; only the inode differs
        self._listings = Listings()

    def files(self) -> Iterator[ChangedFile | None]:
        """Yield the new and changed files, and None now and then while there are only others."""
        for target in self._targets:
            try:
                if target.container:
                    yield from self._members(target, target.container)
                else:
                    yield from self._of(target)
            except SourceUnavailable as error:  # what is known there stays
                self.problems.append(str(error))
                self.unlisted[target] = [b""]

    def _of(self, target: Target) -> Iterator[ChangedFile | None]:
        """Yield the new and changed files of a target that is no container."""
        known = self._known(target)
        unlisted = list[Unlisted]()
        if known and _is_absent(target, known):
            self.missing[target] = len(known)
            return
        self._renumbered, before = [], self.seen
        self.ledgers[target] = Ledger(known, self._moving)
        yield from self._walk(target, known, unlisted)
        self.unlisted[target] = [folder.path for folder in unlisted]
        yield from self._left_over(target, known, unlisted)
        yield from self._of_other_inodes(self.seen - before)

    def _members(self, target: Target, container: Container) -> Iterator[ChangedFile | None]:
        """Compare a container; keep its members if its root is missing, as an unmounted disk is."""
        if container.kind == "vectors":  # imported once; there is nothing to read
            files = self._catalog.files.count_due(target.root.id, target.inside)[0]
            self.seen += files
            self.unchanged += files
            return
        files = self._catalog.files.count_due(target.root.id, target.inside)[0]
        if files and _is_absent(Target(target.root, b""), [target.inside]):
            root = Target(target.root, b"")
            self.missing[root] = self.missing.get(root, 0) + files
            return
        close_containers(self._catalog, self.members)
        kind = Addresses if container.kind == "list" else Members
        members = kind(self._catalog, target.root, container, self._again)
        self.members.append(members)
        for file in members.files():
            self._count(members)
            yield file
        self._count(members)
        self.vanished += members.vanished
        self.problems += [each for each in members.problems if each not in self.problems]
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
        exclusions, ledger = target.root.exclusions, self.ledgers[target]
        excluded = exclusions.excluded() if exclusions else None
        source, root = source_of(target.root), os.fsencode(target.root.path)
        if not target.root.entire or source.kind(target.inside) != "folder":
            paths = [target.inside] if target.inside else list(known)
            for path in paths:
                if found := self._look_at(target.root, source, path):
                    yield found
            ledger.beside(root, paths)
        elif isinstance(source, LocalFolder):
            library = os.fsencode(self._catalog.local_folder)
            yield from scan(root, target.inside, excluded, library, ledger)
        else:
            yield from scan_remote(source, target.inside, excluded, ledger)

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
        file = file._replace(is_alike=True)
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
        source, excluded = source_of(target.root), target.root.exclusions.excluded()
        is_listed = not isinstance(source, LocalFolder)  # all of it
        for path, *_, image_id in list(known.values()):
            # The user may have named a file that no scan lists, for example in a hidden folder.
            is_out = is_listed or is_excluded(path, excluded)
            found = None if is_out else self._look_at(target.root, source, path)
            if found is None:
                self.vanished.append(Vanished(target.root, path, image_id))
            elif file := self._compare(target, found, known[path]):
                yield file

    def _look_at(self, root: Root, source: Source, path: bytes) -> Found | None:
        """Return a file by its name; None if only the case of an old name still finds it."""
        found = source.look_at(path)
        if found and isinstance(source, LocalFolder):
            is_alias = self._listings.is_alias(os.fsencode(root.path), path)
            return None if is_alias else found
        return found

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


def retry(catalog: Catalog, max_pixels: int) -> None:
    """Have this run read the pictures that exceeded the lower pixel limit of an earlier one, and
    those that could not be read by any earlier one, if this one has more decoders.
    """
    failed, now = catalog.files.too_large(max_pixels), abilities()
    before = frozenset((catalog.holdings.setting(ABILITIES) or "").split())
    if now - before:
        failed += catalog.files.refused()
    again = [file._replace(mtime_ns=NO_MTIME) for file in failed]
    if again or now - before:
        from retrieval.catalog import writing
        from retrieval.catalog.recording import settings

        writing.record(catalog, again)
        settings.put(catalog, {ABILITIES: " ".join(sorted(now | before))})


def _is_absent(target: Target, known: Collection[bytes]) -> bool:
    """Return whether a target is missing or empty as a whole, as an unmounted disk is. A known file
    that was deleted is not, while its root exists.
    """
    if isinstance(target.root.path, RemotePath):
        source = source_of(target.root)
        if target.inside in known or source.kind(b"") is not None:
            return False
        # A web server need not show the folder of the files that were named.
        is_shown = target.root.entire or scheme_of(str(target.root.path)) not in WEB
        return is_shown or not any(source.look_at(path) for path in known)
    is_deleted = target.inside in known and not is_missing_or_empty(target.root.path)
    return is_missing_or_empty(target.path) and not is_deleted
