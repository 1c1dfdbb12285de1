"""Index runs that the page starts: one at a time, in a thread."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clipmodel.errors import ClipModelError
from retrieval.errors import LibraryBusy, RetrieveError, explained
from retrieval.interrupted import Interrupted
from retrieval.library import Library
from retrieval.notices import Notices
from retrieval.output.report import of_run
from retrieval.records import Progress, Summary


class IndexJobs:
    """The current index run, or the result of the last one."""

    def __init__(self, library: Library) -> None:
        self.last: str | None = None  # report of the last run, or why it failed
        self._library = library
        self._notices = Notices()
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, paths: Sequence[Path]) -> None:
        """Start a run over `paths` (none: all). Raises LibraryBusy."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise LibraryBusy("indexing is already running; wait until it is done, or stop it")
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(paths,), name="index")
        self._thread.start()

    def stop(self) -> None:
        """Stop the run; finished work is kept."""
        self._stopping.set()

    def close(self) -> None:
        self.stop()
        if self._thread:
            self._thread.join()

    def _run(self, paths: Sequence[Path]) -> None:
        try:
            said = self._said(paths)
        finally:
            self._one_at_a_time.release()
        self.last = said

    def _said(self, paths: Sequence[Path]) -> str:
        try:
            return self._report(self._library.index(paths, progress=self._check), paths)
        except Interrupted as interrupt:
            return self._report(interrupt.summary, paths)
        except (RetrieveError, ClipModelError) as error:
            return str(error)
        except Exception as error:  # the page must not be left without a word
            logging.getLogger("retrieval").exception("an index run failed")
            return explained(error)

    def _report(self, summary: Summary, paths: Sequence[Path]) -> str:
        """Report what a run did, with the notes that are new."""
        fresh = self._notices.fresh(summary.problems, paths)
        said = of_run(replace(summary, problems=fresh))
        known = len(summary.problems) - len(fresh)
        if not known:
            return said
        notes = "1 note" if known == 1 else f"{known:,} notes"
        return f"{said}{notes} from earlier runs; run `retrieve index` to see all\n"

    def _check(self, _: Progress) -> None:
        if self._stopping.is_set():
            raise KeyboardInterrupt  # as if typed: the run commits what it has
