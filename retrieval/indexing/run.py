"""An index run: scan -> decode -> encode -> catalog -> vector index.

    survey    which files are new or changed (changes.py, scan.py)
    intake    what is in them, nothing known decoded again (intake.py, pool.py, decode.py)
    encoding  batches through the encoder (encoding.py)
    recorder  … and into the catalog, a transaction each (recorder.py)
    prune     what vanished leaves the catalog
    refill    known images that this model has not encoded: a change of model (backfill.py)
    describe  EXIF and difference hash of images that an older version indexed (backfill.py)
    measure   how their vectors stand to the bank of sentences (hubness.py)
    finish    the model becomes current, the vector index is renewed (index_file.py)

The first three overlap: a bounded number of files is in worker processes while a batch is encoded.
"""

import importlib
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.lock import Tell, write_lock
from retrieval.catalog.reading import Catalog
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.decoding.pool import InProcess, Pool, WorkerPool
from retrieval.indexing.backfill import reread
from retrieval.indexing.changes import Survey, Vanished
from retrieval.indexing.encoding import EncodedBatch, Encoder, EncodingQueue, QuickStart
from retrieval.indexing.intake import Intake, Outcome
from retrieval.indexing.recorder import ROWS, Recorder
from retrieval.indexing.targets import follow_links, resolve
from retrieval.indexing.whereabouts import Moved, likely_place, missing_note, moved
from retrieval.records import NEVER, Decoded, Failure, FileState, NewImage, Progress, Shot, Summary
from retrieval.vectors import index_file
from retrieval.vectors.hubness import Bank, bank_digest, is_measured

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder

AHEAD = 64  # files that are decoded while a batch is encoded, beside two for each worker
MOST_WORKERS = 16


def index(
    catalog: Catalog,
    paths: Sequence[Path],
    model: "ModelFolder",
    encoder: Callable[[], Encoder],
    *,
    exclude: Sequence[str] = (),
    again: bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    bank: Callable[[], Bank] | None = None,
    quick: QuickStart | None = None,
) -> Generator[Progress | Summary, None, None]:
    """Bring the catalog up to date with `paths` (none: all its roots), under `model`.

    encoder: called once, in a thread, only if there is something to encode; `quick` is in its place
    as long as that is little. exclude: globs for names, and for paths relative to a folder, that
    are left out from now on; "none" drops earlier ones. again: files are read whatever their size
    and time say, and decoded where their content differs. workers: processes that decode (None: by
    the number of processors; 0: none, decode here). bank: measures pictures (hubness.py), also
    those that were not yet; called as `encoder` is. A model that is not the current one encodes all
    that is known, too, and becomes current when it is done.

    Yields Progress, and one Summary in the end; also after a KeyboardInterrupt, when what was
    encoded is committed. One that comes between two values can be passed in with the generator's
    `throw`, which returns the Summary. Raises LibraryBusy, LibraryReadOnly, PathNotFound, and what
    `encoder` raises.
    """
    count = default_workers() if workers is None else workers
    pool = WorkerPool(count) if count else InProcess()
    recorder = Recorder(catalog, model)
    encoding = EncodingQueue(
        *(encoder, batch_size, pool.nudge, bank, quick),
        meanwhile=partial(importlib.import_module, "retrieval.catalog.writing"),  # takes 0.15 s
    )
    with write_lock(catalog.folder) as tell:
        run = IndexRun(
            catalog, model, pool, encoding, recorder, max_pixels, AHEAD + 2 * count, tell
        )
        try:
            yield from run.look_through(paths, exclude, again)
            run.prune()
            yield from run.refill()
            yield from run.describe()
            if bank:
                yield from run.measure(bank)
            run.finish()
        except KeyboardInterrupt:
            run.interrupted = True
            run.flush(encoding.rescue())
            run.leave_out_what_was_dropped()
        except GeneratorExit:  # the caller stopped listening; there is no summary then
            run.flush(encoding.rescue())
            raise
        finally:
            pool.close()
            encoding.close()
        catalog.checkpoint()
    yield run.summary()


def default_workers() -> int:
    """Processes that decode, when nobody says how many."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(usable or 1, MOST_WORKERS)


class IndexRun:
    """The parts of a run, in their order, and what they counted."""

    def __init__(
        self,
        catalog: Catalog,
        model: "ModelFolder",
        pool: Pool,
        encoding: EncodingQueue,
        recorder: Recorder,
        max_pixels: int,
        window: int,
        tell: Tell,
    ) -> None:
        self.interrupted = False
        self._began = time.monotonic()
        self._catalog = catalog
        self._model = model
        self._pool = pool
        self._encoding = encoding
        self._recorder = recorder
        self._max_pixels = max_pixels
        self._window = window
        self._tell = tell  # other processes
        self._side = model.config.vision.image_size
        self._survey = Survey(catalog, ())
        self._counts: Counter[str] = Counter()
        self._linked: Counter[bytes] = Counter()  # digest -> new places of it
        self._arrived: list[tuple[int, bytes, bytes]] = []  # those: root id, path, digest
        self._moved: list[Moved] = []  # folders that the user has to tell of
        self._dropped = 0  # files
        self._unread: list[str] = []  # images that could not be encoded again
        self._refilled = 0
        self._measured = False
        self._problems: list[str] = []

    def look_through(
        self, paths: Sequence[Path], exclude: Sequence[str], again: bool
    ) -> Iterator[Progress]:
        """Everything that is new or changed at `paths` goes to the encoder and into the catalog."""
        self._tell(Progress(0, 0, 0))
        self._problems += follow_links(self._catalog)
        targets = resolve(self._catalog, paths, exclude)
        if self._is_other_model():  # what vanished anywhere need not, and cannot, be encoded again
            targets = resolve(self._catalog, ())
        self._retry_too_large()
        self._survey = Survey(self._catalog, targets, again)
        intake = Intake(
            self._pool,
            self._recorder.knows,
            self._catalog.files.sizes,
            self._side,
            self._max_pixels,
            self._encoding.expect,
        )
        for outcome in intake.outcomes(self._survey.looks(), self._window):
            if outcome:
                self._settle(outcome)
            self.record(self._encoding.ready())
            yield self._progress()
        self.flush(self._encoding.drain())
        yield self._progress()

    def refill(self) -> Iterator[Progress]:
        """Images that this model has not encoded: all, when it is to take the place of another."""
        missing = self._missing()
        self._refilled = len(missing)
        self._encoding.expect(len(missing))
        again = reread(
            self._catalog, missing, self._pool, self._side, self._max_pixels, self._window
        )
        for image in again:
            if image.decoded:
                index_file.outdate(self._catalog, self._model.digest)
                self._encode(image.digest, image.decoded, None)
            else:
                self._unread.append(self._name(image.image_id))
            self.record(self._encoding.ready())
            yield self._progress()
        self.flush(self._encoding.drain())
        yield self._progress()

    def describe(self) -> Iterator[Progress]:
        """Read the EXIF, and take the difference hash, of images that were indexed when these were
        not kept; encode nothing.
        """
        if not (missing := self._catalog.images.undescribed()):
            return
        from retrieval.catalog import writing

        shots: dict[int, Shot] = {}
        hashes: dict[int, bytes] = {}
        for image in reread(
            self._catalog, missing, self._pool, None, self._max_pixels, self._window
        ):
            if image.shot:
                shots[image.image_id] = image.shot
            if image.difference_hash:
                hashes[image.image_id] = image.difference_hash
            if len(shots) >= ROWS:
                writing.describe(self._catalog, shots, hashes)
                shots, hashes = {}, {}
            yield self._progress()
        writing.describe(self._catalog, shots, hashes)

    def measure(self, load: Callable[[], Bank]) -> Iterator[Progress]:
        """Vectors that no bank, or another one, has measured: all of the model's, once."""
        model = self._catalog.model(self._model.digest)
        if model is None or is_measured(model):
            return
        from retrieval.catalog import writing

        bank = load()
        for ids, vectors in self._catalog.embeddings.vectors(model.id):
            standings = dict(zip(ids.tolist(), bank.measure(vectors), strict=True))
            writing.measure(self._catalog, model, standings)
            yield self._progress()
        writing.all_measured(self._catalog, model, bank_digest())
        self._measured = True

    def prune(self) -> None:
        """Drop what vanished; only now that all was seen, so that no image is lost by a move."""
        self._count_moves()
        if self._survey.unidentified:  # an older version indexed them
            from retrieval.catalog import writing

            writing.identify(self._catalog, self._survey.unidentified)
        vanished = [(file.root.id, file.path) for file in self._survey.vanished]
        if vanished or self._catalog.images.has_orphans():
            from retrieval.catalog import writing  # SQLAlchemy, which a run without news spares

            writing.remove_files(self._catalog, vanished)
            writing.sweep(self._catalog)
        self._moved = moved(self._catalog, self._arrived) if self._arrived else []

    def finish(self) -> None:
        """Make the model current, and bring the vector index up to date."""
        self._switch()
        if current := self._catalog.current_model():
            missing = not index_file.path_of(self._catalog.folder, current.digest).exists()
            if self._measured:
                index_file.rebuild(self._catalog, current)
            elif missing or self._survey.vanished or self._recorder.recorded:
                index_file.refresh(self._catalog, current)
        for left in index_file.leftovers(self._catalog):  # by a run that was killed
            left.unlink(missing_ok=True)

    def summary(self) -> Summary:
        counts = self._counts
        return Summary(
            new=counts["new"],
            changed=counts["changed"],
            moved=counts["moved"],
            copied=self._linked.total() - counts["moved"],
            removed=counts["removed"],
            failed=counts["failed"],
            unchanged=counts["unchanged"] + self._survey.unchanged,
            encoded=self._recorder.encoded,
            seconds=time.monotonic() - self._began,
            interrupted=self.interrupted,
            dropped=self._dropped,
            problems=(*self._survey.problems, *self._notes_of_missing(), *self._problems),
        )

    def record(self, batches: Iterable[EncodedBatch]) -> None:
        """Commit what was encoded."""
        for batch in batches:
            self._recorder.record(batch)

    def flush(self, batches: Iterable[EncodedBatch]) -> None:
        """Commit the last that is encoded, and all that waits to be committed."""
        self.record(batches)
        self._recorder.flush()

    def leave_out_what_was_dropped(self) -> None:
        """Files of pictures that wait for the encoder were counted, and are not kept."""
        for files in self._recorder.dropped():
            for number, file in enumerate(files):
                self._dropped += 1
                if self._catalog.files.has_any(file.root_id, file.path):
                    self._counts["changed"] -= 1
                elif number == 0:
                    self._counts["new"] -= 1
                elif file.digest:
                    self._linked[file.digest] -= 1

    def _notes_of_missing(self) -> Iterator[str]:
        known = {each.old for each in self._moved}
        for target, files in self._survey.missing.items():
            if target.path not in known:
                likely = likely_place(self._catalog, target.root, target.inside)
                yield missing_note(target.path, files, likely)
        yield from map(str, self._moved)

    # -- one file --------------------------------------------------------------------------------

    def _retry_too_large(self) -> None:
        """Pictures that had too many pixels for a run that allowed fewer are new to this one."""
        again = [
            replace(file, mtime_ns=NEVER)
            for file in self._catalog.files.too_large(self._max_pixels)
        ]
        if again:
            from retrieval.catalog import writing

            writing.record(self._catalog, again)

    def _settle(self, outcome: Outcome) -> None:
        """Count what became of a file, and send it on its way into the catalog."""
        look, digest, failure = outcome.look, outcome.digest, outcome.failure
        if outcome.gone:
            self._counts["gone"] += 1
            if look.known:
                self._survey.vanished.append(Vanished(look.root, look.found.path, look.image_id))
        elif failure:
            as_it_was = look.is_alike and failure.code == self._catalog.files.failure_at(
                look.root.id, look.found.path
            )
            self._counts["unchanged" if as_it_was else "failed"] += 1
            self._recorder.add_file(self._state(outcome, None, failure))
        elif outcome.decoded and digest:
            self._counts["changed" if look.known else "new"] += 1
            self._encode(digest, outcome.decoded, self._state(outcome, digest))
        elif digest:
            if not look.known:
                self._linked[digest] += 1
                self._arrived.append((look.root.id, look.found.path, digest))
            else:
                image_id = self._catalog.images.of_digest(digest)
                same = image_id is not None and image_id == look.image_id
                self._counts["unchanged" if same else "changed"] += 1
            self._recorder.add_file(self._state(outcome, digest))

    def _encode(self, digest: bytes, decoded: Decoded, file: FileState | None) -> None:
        """Send a picture on its way; `file` None if only its vector is missing."""
        taken_at = decoded.taken_at.isoformat() if decoded.taken_at else None
        size = decoded.width, decoded.height
        self._recorder.await_picture(digest, file)
        shot, hash = decoded.shot, decoded.difference_hash
        image = NewImage(digest, *size, decoded.format, taken_at, shot, hash)
        self._encoding.add(image, decoded.pixels)

    def _state(
        self, outcome: Outcome, digest: bytes | None, failure: Failure | None = None
    ) -> FileState:
        """The file's row, with size and time as scanned: if it grew since, it will be changed."""
        root, found = outcome.look.root, outcome.look.found
        is_lasting = failure is None or failure.code.is_lasting
        mtime_ns = found.mtime_ns if is_lasting else NEVER  # where it was the disk that failed
        state = FileState(root.id, found.path, found.size, mtime_ns, digest, failure)
        return replace(state, ctime_ns=found.ctime_ns, inode=found.inode)

    def _progress(self) -> Progress:
        done = self._survey.unchanged + self._counts["gone"] + self._recorder.recorded
        unread = len(self._unread)
        total = self._survey.seen + self._refilled
        progress = Progress(done + unread, total, self._recorder.encoded)
        self._tell(progress)
        return progress

    # -- all of them -----------------------------------------------------------------------------

    def _count_moves(self) -> None:
        """A new place of a known content is a move if an old one vanished, else a copy."""
        vanished = Counter(file.image_id for file in self._survey.vanished)
        for digest, places in self._linked.items():
            image_id = self._catalog.images.of_digest(digest)
            self._counts["moved"] += min(places, vanished[image_id])
        self._counts["removed"] = len(self._survey.vanished) - self._counts["moved"]

    def _is_other_model(self) -> bool:
        current = self._catalog.current_model()
        return current is not None and current.digest != self._model.digest

    def _missing(self) -> list[tuple[int, bytes]]:
        model = self._catalog.model(self._model.digest)
        if model and self._catalog.embeddings.count(model.id) == self._catalog.images.count():
            return []  # as nearly always; two counts, not a comparison of two lists
        return self._catalog.embeddings.missing(model.id if model else None)

    def _switch(self) -> None:
        """Make the model current, if it has encoded all there is."""
        current, model = self._catalog.current_model(), self._catalog.model(self._model.digest)
        if self._unread:
            self._problems.append(
                f"{len(self._unread):,} known pictures cannot be read now to be encoded by "
                f"{self._model.name}, the first is {self._unread[0]}; until they can, "
                "or `retrieve forget` drops them, the library stays as it is"
            )
        elif current and model and model != current:
            from retrieval.catalog import writing

            writing.switch_model(self._catalog, model)
            index_file.path_of(self._catalog.folder, current.digest).unlink(missing_ok=True)

    def _name(self, image_id: int) -> str:
        image = self._catalog.images.by_id([image_id]).get(image_id)
        return str(image.paths[0]) if image and image.paths else f"image {image_id}"
