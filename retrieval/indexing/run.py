"""An index run: the path of a picture from a named folder to a searchable vector.

`IndexRun.stages` shows that path on one screen. The stages overlap: a bounded number of files is in
worker processes while pictures are encoded, and encoded pictures are committed at once.
"""

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from retrieval.catalog.reading import Catalog
from retrieval.decoding.limits import MAX_PIXELS
from retrieval.indexing import finish
from retrieval.indexing.backfill import Backfill
from retrieval.indexing.changes import Changes, retry
from retrieval.indexing.companions.account import account
from retrieval.indexing.companions.sidecars import read_sidecars
from retrieval.indexing.elsewhere.members import close_containers
from retrieval.indexing.encoding import EncodedBatch, QuickStart
from retrieval.indexing.intake import Intake
from retrieval.indexing.machine import Encoders, Machine, Parts
from retrieval.indexing.options import MOVING, Moving
from retrieval.indexing.recorder import Recorder
from retrieval.indexing.tally import NewPicture, Tally
from retrieval.indexing.targets import Target, follow_links, resolve
from retrieval.records import Progress, Summary
from retrieval.vectors.hubness import QueryBank

if TYPE_CHECKING:
    from clipmodel.pretrained import ModelFolder
    from retrieval.catalog.lock import Tell
    from retrieval.indexing.cluster.placement import Cluster

REPORT_SECONDS = 0.05  # between two reports of progress, while nothing is committed


def index(
    catalog: Catalog,
    paths: Sequence[Path] | None,
    model: "ModelFolder",
    encoder: Encoders,
    *,
    exclude: Sequence[str] = (),
    again: bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    moving: Moving = MOVING,
    query_bank: Callable[[], QueryBank] | None = None,
    quick: QuickStart | None = None,
    cluster: "Cluster | None" = None,
) -> Generator[Progress | Summary, None, None]:
    """Bring the catalog up to date with `paths` (none: all its roots), under `model`. With None, no
    file is looked for: the images that this model lacks are encoded beside the current model.

    encoder, query_bank: called once, in a thread, if there is something to encode or to measure; or
    by the names of devices, in a process for each. `quick` replaces the encoder for a few pictures.
    cluster: the nodes that decode and encode in place of this machine. Else as in `IndexOptions`.

    Yields Progress, and one Summary at the end. After a KeyboardInterrupt, finished work is
    committed and the Summary follows; if it occurs between two values, pass it to `throw`, which
    returns the Summary. Raises LibraryBusy, LibraryReadOnly, PathNotFound, DeviceError, and what
    loaders and encoders raise, with finished work committed. A fork can only close its copy.
    """
    with catalog.database.running() as tell:
        if cluster:
            from retrieval.indexing.cluster.engine import on_cluster

            parts = on_cluster(cluster, catalog, encoder, query_bank, workers, batch_size)
        else:
            parts = Machine(model, workers, batch_size).parts(catalog, encoder, query_bank, quick)
        run = IndexRun(catalog, model, parts, max_pixels, moving, tell)
        try:
            yield from run.stages(paths, exclude, again, query_bank)
        except KeyboardInterrupt:
            run.rescue()
            run.tally.interrupted = True
        except (GeneratorExit, Exception):  # GeneratorExit: the caller stopped listening
            with suppress(Exception):  # the first error is the one to report
                run.rescue()
            raise
        finally:
            if run.is_own:
                _close(parts)
        catalog.database.checkpoint()
    yield run.tally.summary()


def _close(parts: Parts) -> None:
    """Close all of them, also if Ctrl-C interrupts one."""
    with ExitStack() as closing:
        for part in reversed(parts):
            closing.callback(part.close)


class IndexRun:
    """An index run: its stages in order, and their common state."""

    def __init__(
        self,
        catalog: Catalog,
        model: "ModelFolder",
        parts: Parts,
        max_pixels: int,
        moving: Moving,
        tell: "Tell",
    ) -> None:
        """tell: reports progress to other processes."""
        self._catalog = catalog
        self._model = model
        self._pool, self._encoding, writer = parts
        self._recorder = Recorder(catalog, model, writer)
        self.tally = Tally(catalog, self._recorder)
        self._max_pixels = max_pixels
        self._moving = moving
        self._tell = tell
        self._reported_files, self._reported_at = 0, 0.0
        self._process = os.getpid()

    @property
    def is_own(self) -> bool:
        """Whether this process began the run, and is no fork with a copy of it."""
        return os.getpid() == self._process

    def stages(
        self,
        paths: Sequence[Path] | None,
        exclude: Sequence[str],
        again: bool,
        query_bank: Callable[[], QueryBank] | None,
    ) -> Iterator[Progress]:
        """Run all stages. Each is an iterator that draws on the one before it."""
        self._tell(Progress(0, 0, 0))
        if paths is None:
            yield from self._completed(query_bank)
            return
        targets = self._targets(paths, exclude)  # the named paths as parts of roots
        changes = Changes(self._catalog, targets, again, self._moving)
        self.tally.begin(changes)

        files = changes.files()  # new and changed ones
        results = self._intake().results(files)  # known contents, pixels, failures
        pictures = self.tally.pictures(results)  # to encode; the recorder gets all else
        yield from self._encoded(pictures)  # in micro-batches, each committed with its files

        self.tally.count_moves()
        finish.prune(self._catalog, changes)  # vanished files
        close_containers(self._catalog, changes.members, is_end=True)
        account(self._catalog, changes)  # companions, and what is left out
        self.tally.find_moved_folders()

        backfill = self._backfill()
        yield from self._reported(backfill.described())  # what an older version did not know
        expect = self._encoding.expect
        yield from self._encoded(backfill.moments(expect))  # … of what moves, or has pages
        yield from self._encoded(backfill.pictures(expect))  # what this model lacks
        yield from self._reported(read_sidecars(self._catalog))  # facts that lie beside pictures
        yield from self._reported(backfill.measured(query_bank))
        self._finish(has_news=bool(changes.vanished), is_measured_anew=backfill.has_measured)

    def _completed(self, query_bank: Callable[[], QueryBank] | None) -> Iterator[Progress]:
        """Encode the known images that this model lacks, beside the library's current model."""
        backfill = self._backfill()
        yield from self._encoded(backfill.pictures(self._encoding.expect))
        yield from self._reported(backfill.measured(query_bank))
        if unread := self.tally.unread:
            self.tally.problems.append(finish.unread_note(self._catalog, self._model, unread))
        if model := self._catalog.model(self._model.digest):
            finish.keep_up(self._catalog, model)
            has_news = self._recorder.recorded > 0
            self.tally.problems += finish.renew_index(
                self._catalog, model, has_news=has_news, is_measured_anew=backfill.has_measured
            )

    def rescue(self) -> None:
        """Commit what is encoded or being encoded, and uncount the rest. A fork does nothing."""
        if not self.is_own:
            return
        for batch in self._encoding.rescue():
            self._recorder.record(batch)
        self._recorder.flush()
        self.tally.take_back_dropped()

    def _targets(self, paths: Sequence[Path], exclude: Sequence[str]) -> list[Target]:
        self.tally.problems += follow_links(self._catalog)
        targets = resolve(self._catalog, paths, exclude)
        current = self._catalog.current_model()
        if current and current.digest != self._model.digest:
            targets = resolve(self._catalog, ())  # all: vanished files cannot be encoded
        retry(self._catalog, self._max_pixels)
        return targets

    def _intake(self) -> Intake:
        resize, knows = self._model.config.pixels, self._recorder.knows
        sizes, expect = self._catalog.files.sizes, self._encoding.expect
        bounds = self._max_pixels, expect, self._moving.most
        return Intake(self._pool, knows, sizes, resize, *bounds)

    def _backfill(self) -> Backfill:
        bounds = self._max_pixels, self.tally, self._moving.most
        return Backfill(self._catalog, self._model, self._pool, *bounds)

    def _encoded(self, pictures: Iterable[NewPicture | None]) -> Iterator[Progress]:
        """Encode pictures and commit them, reporting progress."""
        for picture in pictures:
            if picture:
                self._recorder.await_picture(picture.image.digest, picture.file)
                if further := len(picture.moments) - 1:
                    self._encoding.expect(further)
                for moment, pixels in enumerate(picture.moments):
                    self._encoding.add(picture.image, pixels, moment)
            yield from self._committed(self._encoding.ready())
            if self._has_news():
                yield self._progress()
        yield from self._committed(self._encoding.drain())
        self._recorder.flush()
        yield self._progress()

    def _committed(self, batches: Iterable[EncodedBatch | None]) -> Iterator[Progress]:
        for batch in batches:
            if batch:
                self._recorder.record(batch)
            else:  # the caller may want to stop meanwhile
                yield self._progress()

    def _reported(self, steps: Iterable[None]) -> Iterator[Progress]:
        for _ in steps:
            yield self._progress()

    def _has_news(self) -> bool:
        """Return whether more is recorded than was last reported, or that was a while ago."""
        is_more = self._recorder.recorded != self._reported_files
        return is_more or time.monotonic() > self._reported_at + REPORT_SECONDS

    def _progress(self) -> Progress:
        progress = self.tally.progress()
        self._reported_files, self._reported_at = self._recorder.recorded, time.monotonic()
        self._tell(progress)
        return progress

    def _finish(self, *, has_news: bool, is_measured_anew: bool) -> None:
        """Make the model current, and bring the vector index up to date."""
        if unread := self.tally.unread:
            self.tally.problems.append(finish.unread_note(self._catalog, self._model, unread))
        else:
            self.tally.problems += finish.switch_model(self._catalog, self._model)
        has_news = has_news or self._recorder.recorded > 0
        if current := self._catalog.current_model():
            self.tally.problems += finish.renew_index(
                self._catalog, current, has_news=has_news, is_measured_anew=is_measured_anew
            )
