"""The tally of an index run: each file counts once, e.g. as new, changed, moved or failed."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.reading import Catalog
from retrieval.decoding.limits import DECODING
from retrieval.decoding.metadata.dates import with_name
from retrieval.indexing.changed_file import Vanished
from retrieval.indexing.changes import Changes
from retrieval.indexing.companions.ledger import total
from retrieval.indexing.intake import IntakeResult
from retrieval.indexing.recorder import Recorder
from retrieval.indexing.targets import Target
from retrieval.indexing.whereabouts import Moved, likely_place, missing_note, moved
from retrieval.records import (
    NO_MTIME,
    Decoded,
    Facts,
    Failure,
    FileState,
    NewImage,
    Progress,
    Summary,
)
from retrieval.sources.sample import joined


class NewPicture(NamedTuple):
    """An image for the encoder."""

    image: NewImage
    moments: Sequence[NDArray[np.uint8]]  # the pixels of each, (S, S, 3) RGB
    file: FileState | None = None  # None: a known image that lacks a vector

    @classmethod
    def of(
        cls,
        digest: bytes,
        decoded: Decoded,
        file: FileState | None = None,
        beside: Facts | None = None,
    ) -> "NewPicture":
        """beside: facts from beside the file, for what it lacks itself."""
        facts = with_name(joined(decoded.facts, beside), [file.path] if file else ())
        image = NewImage(
            digest,
            decoded.width,
            decoded.height,
            decoded.format,
            facts.taken_at.isoformat() if facts.taken_at else None,
            decoded.shot,
            decoded.difference_hash,
            facts.taken_from,
            facts.rating,
            facts.wordings,
            decoded.is_truncated,
            DECODING,
            decoded.duration,
            tuple(frame.moment for frame in decoded.frames),
        )
        return cls(image, [frame.pixels for frame in decoded.frames] or [decoded.pixels], file)


class Tally:
    """The counts of one run, from the first file to the summary."""

    def __init__(self, catalog: Catalog, recorder: Recorder) -> None:
        self.interrupted = False
        self.problems: list[str] = []
        self.backfilled = 0  # known images that lack a vector
        self.unread: list[int] = []  # ids of the unreadable ones among them
        self._began = time.monotonic()
        self._catalog = catalog
        self._recorder = recorder
        self._changes = Changes(catalog, ())
        self._counts: Counter[str] = Counter()
        self._linked: Counter[bytes] = Counter()  # digest -> number of new places
        self._arrived: list[tuple[int, bytes, bytes]] = []  # those places: root id, path, digest
        self._moved: list[Moved] = []  # folders that the user should relocate
        self._dropped = 0  # files

    def begin(self, changes: Changes) -> None:
        """Start to count these changes."""
        self._changes = changes

    def pictures(self, results: Iterable[IntakeResult | None]) -> Iterator[NewPicture | None]:
        """Count each result; yield pictures to encode, and hand other files to the recorder.

        Yields None for a result without a picture to encode.
        """
        for result in results:
            yield self._settle(result) if result else None

    def _settle(self, result: IntakeResult) -> NewPicture | None:
        file, digest, failure = result.file, result.digest, result.failure
        if result.unchanged:
            self._changes.unchanged += 1
            if file.renews_facts and file.image_id is not None:
                self._recorder.renew_facts(file.image_id, file.facts)
        elif result.gone:
            self._counts["gone"] += 1
            if file.known:
                self._changes.vanished.append(Vanished(file.root, file.found.path, file.image_id))
        elif failure:
            as_it_was = file.is_alike and failure.code == self._catalog.files.failure_at(
                file.root.id, file.found.path
            )
            self._counts["unchanged" if as_it_was else "failed"] += 1
            self._recorder.add_file(_state(result, None, failure))
        elif result.decoded and digest:
            self._counts["changed" if file.known else "new"] += 1
            return NewPicture.of(digest, result.decoded, _state(result, digest), file.facts)
        elif digest:
            self._count_known(result, digest)
            self._recorder.add_file(_state(result, digest), file.facts)
            image_id = self._catalog.images.of_digest(digest)
            if file.renews_facts and image_id is not None:
                self._recorder.renew_facts(image_id, file.facts)
        return None

    def _count_known(self, result: IntakeResult, digest: bytes) -> None:
        """Count a file with known content."""
        file = result.file
        if not file.known:
            self._linked[digest] += 1
            self._arrived.append((file.root.id, file.found.path, digest))
        else:
            image_id = self._catalog.images.of_digest(digest)
            same = image_id is not None and image_id == file.image_id
            self._counts["unchanged" if same else "changed"] += 1

    def count_moves(self) -> None:
        """Tell moves from copies: a new place of known content is a move if an old one vanished.

        Call it before vanished files leave the catalog.
        """
        vanished = Counter(file.image_id for file in self._changes.vanished)
        for digest, places in self._linked.items():
            image_id = self._catalog.images.of_digest(digest)
            self._counts["moved"] += min(places, vanished[image_id])
        self._counts["removed"] = len(self._changes.vanished) - self._counts["moved"]

    def find_moved_folders(self) -> None:
        """Find missing folders whose pictures arrived elsewhere."""
        self._moved = moved(self._catalog, self._arrived) if self._arrived else []

    def take_back_dropped(self) -> None:
        """Uncount files that were read but whose pictures were not encoded."""
        for files in self._recorder.dropped():
            for number, file in enumerate(files):
                self._dropped += 1
                if self._catalog.files.has_any(file.root_id, file.path):
                    self._counts["changed"] -= 1
                elif number == 0:
                    self._counts["new"] -= 1
                elif file.digest:
                    self._linked[file.digest] -= 1

    def progress(self) -> Progress:
        done = self._changes.unchanged + self._counts["gone"] + self._recorder.recorded
        total = self._changes.seen + self.backfilled
        return Progress(done + len(self.unread), total, self._recorder.encoded)

    def summary(self) -> Summary:
        counts = self._counts
        return Summary(
            new=counts["new"],
            changed=counts["changed"],
            moved=counts["moved"],
            copied=self._linked.total() - counts["moved"],
            removed=counts["removed"],
            failed=counts["failed"],
            unchanged=counts["unchanged"] + self._changes.unchanged,
            encoded=self._recorder.encoded,
            seconds=time.monotonic() - self._began,
            interrupted=self.interrupted,
            dropped=self._dropped,
            companions=sum(ledger.lone_companions() for ledger in self._changes.ledgers.values()),
            left_out=total(ledger.left_out for ledger in self._changes.ledgers.values()),
            problems=(
                *self._changes.problems,
                *self._notes_of_missing(),
                *self._notes_of_named(),
                *self.problems,
            ),
        )

    def _notes_of_named(self) -> Iterator[str]:
        """Say why files that the user named cannot be read."""
        for target in self._changes.ledgers:
            if target.inside and (said := self._failure_of(target)):
                yield f"{target.path}: {said}"

    def _failure_of(self, target: Target) -> str | None:
        return self._catalog.files.sentence_at(target.root.id, target.inside)

    def _notes_of_missing(self) -> Iterator[str]:
        known = {each.old for each in self._moved}
        for target, files in self._changes.missing.items():
            if target.path not in known:
                likely = likely_place(self._catalog, target.root, target.inside)
                yield missing_note(target.path, files, likely)
        yield from map(str, self._moved)


def _state(result: IntakeResult, digest: bytes | None, failure: Failure | None = None) -> FileState:
    """Return a file's row, with size and time as scanned: if it has grown, the next run sees it."""
    root, found = result.file.root, result.file.found
    is_lasting = failure is None or failure.code.is_lasting
    size, modified_ns, version = result.fetched or (found.size, None, None)
    mtime_ns = modified_ns or found.mtime_ns
    mtime_ns = mtime_ns if is_lasting else NO_MTIME  # the disk failed: read it again
    asked = root.id, found.path, size, mtime_ns, digest, failure
    return FileState(*asked, found.ctime_ns, found.inode, version)
