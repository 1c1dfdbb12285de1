"""A writer in a thread: the run goes on while a transaction is under way.

Commits that come in the meantime are written together, so a fast run has few large transactions,
and a slow one commits each batch at once.
"""

import threading
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from clipmodel.pools import Renewed
from retrieval.indexing.recorder import Commit
from retrieval.interrupted import uninterrupted
from retrieval.records import Vectors

LEAST, MOST = 512, 1_024  # images in a transaction, if they come quickly
PULSE_SECONDS = 0.5  # after which Ctrl-C is heard
MAX_QUEUED = 4  # commits of which none is under way; then the run waits


class Writes(Protocol):
    """Writes a commit, and returns once it is in the catalog."""

    def write(self, commit: Commit) -> None:
        """Raises what the catalog raises."""

    def close(self) -> None:
        """Stop."""


class BackgroundWriter(Renewed):
    """Has commits written in order, in a thread. One thread may use it.

    After a fork, the child's has nothing to write: its parent does.
    """

    def __init__(self, writer: Writes, patience: float = 0.0) -> None:
        """patience: seconds that a commit waits for others, up to LEAST images."""
        self._writer = writer
        self._patience = patience
        super().__init__()

    def renew(self) -> None:
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # of all that follows
        self._queued: deque[Commit] = deque()
        self._is_writing = False
        self._written: list[Commit] = []
        self._error: BaseException | None = None
        self._in_hurry = False  # no commit waits for others
        self._is_closed = False

    def write(self, commit: Commit) -> None:
        """Have a commit written soon. Raises what an earlier one raised."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="recorder", daemon=True)
            thread.start()
            self._thread = thread  # now, as it could not be waited for before
        with self._changed:
            try:
                self._changed.wait_for(lambda: self._error or len(self._queued) < MAX_QUEUED)
            finally:  # Ctrl-C loses nothing that is encoded
                self._queued.append(commit)
                self._changed.notify_all()
            self._raise()

    def wait(self) -> None:
        while not self._is_done():
            pass

    def _is_done(self) -> bool:
        """Wait until all is written, but not for long: Ctrl-C is heard when the lock is free again,
        as it could leave it locked for ever (bpo-29988).
        """
        with uninterrupted(), self._changed:
            self._in_hurry = True
            self._changed.notify_all()
            is_done = self._changed.wait_for(self._has_nothing, PULSE_SECONDS)
            self._in_hurry = not is_done
            self._raise()
        return is_done

    def _has_nothing(self) -> bool:
        return bool(self._error) or not (self._queued or self._is_writing)

    def written(self) -> list[Commit]:
        with self._changed:
            self._raise()
            written, self._written = self._written, []
        return written

    def close(self) -> None:
        try:
            with uninterrupted(), self._changed:
                self._is_closed = True
                self._changed.notify_all()
            if self._thread:
                self._thread.join()
        finally:  # Ctrl-C leaves no process behind
            self._writer.close()

    def _raise(self) -> None:
        if self._error:
            raise self._error

    # -- in the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        while commits := self._next():
            try:
                for commit in merged(commits):
                    self._writer.write(commit)
            except BaseException as error:  # the thread of the run must learn of it
                with self._changed:
                    self._error = error
                    self._changed.notify_all()
                return
            with self._changed:
                self._written += commits
                self._is_writing = False
                self._changed.notify_all()

    def _next(self) -> list[Commit]:
        """Wait for commits and return some to be written together; none when closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queued or self._is_closed)
            self._changed.wait_for(self._has_enough, self._patience)
            commits: list[Commit] = []
            while self._queued and (not commits or _images([*commits, self._queued[0]]) <= MOST):
                commits.append(self._queued.popleft())
            self._is_writing = bool(commits)
            self._changed.notify_all()
        return commits

    def _has_enough(self) -> bool:
        is_full = _images(self._queued) >= LEAST or len(self._queued) >= MAX_QUEUED
        return is_full or self._in_hurry or self._is_closed


def _images(commits: Sequence[Commit] | deque[Commit]) -> int:
    return sum(len(commit.images) for commit in commits)


def merged(commits: Sequence[Commit]) -> list[Commit]:
    """Return one commit for all of these that have vectors of one model, or none, in a row."""
    whole: list[Commit] = []
    for commit in commits:
        if whole and (both := _both(whole[-1], commit)):
            whole[-1] = both
        else:
            whole.append(commit)
    return whole


def _both(first: Commit, second: Commit) -> Commit | None:
    files, images = first.files + second.files, first.images + second.images
    a, b = first.vectors, second.vectors
    if not (a and b):
        return Commit(files, images, a or b)
    if a.model_id != b.model_id:
        return None
    vectors = Vectors(a.model_id, {**a.of, **b.of}, {**a.hubness, **b.hubness})
    return Commit(files, images, vectors)
