"""`retrieve watch`: changes on disk reach the library by themselves.

A few threads, each responsible for some folders, report what the system tells them. The main thread
collects the reports, decides which ones matter, and indexes exactly those files and folders.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from watchfiles import Change
from watchfiles import watch as changes_below

from retrieval.address import is_address
from retrieval.catalog.reading import Catalog
from retrieval.decoding.formats import is_named_as_film, is_named_as_picture
from retrieval.errors import SPENT, LibraryBusy, LibraryUnreachable, PathNotFound, is_spent
from retrieval.exclusions import Excluded
from retrieval.indexing.companions.ledger import is_picture, picture_of_sidecar
from retrieval.indexing.scan import lists
from retrieval.indexing.targets import Target, resolve
from retrieval.interrupted import Interrupted
from retrieval.library import Library
from retrieval.notices import Notices
from retrieval.paths import given, identity, relative
from retrieval.records import Progress, Summary

QUIET_MS = 200  # without a change before changes are reported
WAIT_MS = 2_000  # at most, while changes keep coming
CHECK_MS = 1_000  # between two checks that a folder still exists
AGAIN_SECONDS = 1.0  # between two checks for a missing folder, or two attempts at a busy library
UNWATCHED_SECONDS = 300.0  # between two runs over a folder that the system cannot watch
MAX_WATCHERS = 16  # the system opens three files for each, and allows a user 128 of them
MAX_FILES = 100  # changed at once; beyond that, their folders are scanned instead

Say = Callable[[str], None]
Bar = Callable[[], AbstractContextManager[Callable[[Progress], None] | None]]


def watch(
    library: Library,
    paths: Sequence[Path],
    *,
    exclude: Sequence[str] = (),
    videos: bool = True,
    bar: Bar,
    ran: Callable[[Summary], None],
    say: Say,
) -> None:
    """Bring the library up to date with `paths` (none: everything it knows) and keep it that way
    until interrupted.

    videos: False leaves new ones out. bar: returns a context manager that yields the progress
    callback of one run. ran: called with the summary of each run, without problems that were
    reported before. say: called with messages for the user.

    Raises Interrupted if Ctrl-C arrives during a run, and whatever `Library.index` raises, except
    LibraryBusy and LibraryUnreachable: it waits for such a library.
    """
    paths = [given(path) for path in paths]
    indexer = Patient(library, bar, say, videos=videos)
    ran(indexer.index(paths, exclude))  # the library remembers the exclusions
    targets = _local(resolve(library.catalog, paths), say)
    with watching(targets, say) as changes:
        while True:
            changed = _gathered(changes, library.rest)
            while due := what_matters(library.catalog, targets, changed):
                try:
                    ran(indexer.index(due))
                    break
                except PathNotFound:  # deleted in the meantime; the next look will notice
                    continue


def _local(targets: Sequence[Target], say: Say) -> list[Target]:
    """Return the targets on this machine; say which others are not watched."""
    for address in sorted({str(t.root.path) for t in targets if is_address(str(t.root.path))}):
        say(f"{address} is not on this machine and not watched; `retrieve index` updates it")
    return [target for target in targets if not is_address(str(target.root.path))]


class Patient:
    """Index runs that wait for other writers and report each remaining problem once."""

    def __init__(self, library: Library, bar: Bar, say: Say, *, videos: bool = True) -> None:
        self._library = library
        self._videos = videos
        self._bar = bar
        self._say = say
        self._notices = Notices()

    def index(self, paths: Sequence[Path], exclude: Sequence[str] = ()) -> Summary:
        is_told = False
        while True:
            try:
                with self._bar() as progress:
                    summary = self._library.index(
                        paths, exclude=exclude, videos=self._videos, progress=progress
                    )
                return self._brief(summary, paths)
            except Interrupted as interrupt:
                raise Interrupted(self._brief(interrupt.summary, paths)) from None
            except (LibraryBusy, LibraryUnreachable) as error:
                if not is_told:
                    self._say(str(error))
                is_told = True
                time.sleep(AGAIN_SECONDS)

    def _brief(self, summary: Summary, paths: Sequence[Path]) -> Summary:
        return replace(summary, problems=self._notices.fresh(summary.problems, paths))


def what_matters(
    catalog: Catalog, targets: Sequence[Target], changed: Iterable[Path]
) -> list[Path]:
    """Return those of the changed files and folders that need indexing."""
    targets = [target for target in targets if target.root.path.is_dir()]
    if not targets:  # the library may have gone with them
        return []
    excluded = {root.id: root.exclusions.excluded() for root in catalog.roots()}
    due = {
        place: target.root.path
        for path in changed
        for target in targets
        if target.root.id in excluded  # otherwise it was forgotten in the meantime
        if (place := _place(catalog, target, path, excluded[target.root.id])) is not None
    }
    if len(due) > MAX_FILES:
        return sorted({_folder(place, root) for place, root in due.items()})
    return sorted(due)


def _place(catalog: Catalog, target: Target, path: Path, excluded: Excluded) -> Path | None:
    """Return where to look after a change: at the path itself, or in the folder it disappeared
    from; None if the change does not matter.
    """
    root = target.root
    inside = relative(root.path, path)
    if inside is None or not path.is_relative_to(target.path) or not root.path.is_dir():
        return None
    if path.is_relative_to(catalog.local_folder) or (inside and not lists(inside, excluded)):
        return None
    is_known = catalog.files.has_any(root.id, inside)
    if not path.exists():
        is_file = catalog.places.image_at(path) is not None
        return (path if is_file else _folder(path, root.path)) if is_known else None
    if not root.entire:
        return path if is_known else None
    if is_named_as_film(path.name) and not is_known:
        return _folder(path.parent, root.path)  # it may belong to a picture in there
    if path.is_dir() or is_named_as_picture(path.name):
        return path
    return path if is_known or is_picture(path) else picture_of_sidecar(path)


def _folder(place: Path, root: Path) -> Path:
    """Return the nearest existing folder at or above a place, but none above the root."""
    inside = [each for each in (place, *place.parents) if each.is_relative_to(root)]
    return next((each for each in inside if each.is_dir()), root)


# -- what the system reports ---------------------------------------------------------------------

Changes = queue.SimpleQueue[set[Path]]


@contextmanager
def watching(targets: Sequence[Target], say: Say) -> Iterator[Changes]:
    """Yield a queue of changes at or below the targets, one set of paths at a time."""
    watchers = Watchers(say)
    for is_deep in (True, False):
        folders = {_folder_of(target) for target in targets if target.root.entire == is_deep}
        for group in _groups(sorted(folders)):
            watchers.start(group, is_deep)
    try:
        yield watchers.changes
    finally:
        watchers.stop()


def _folder_of(target: Target) -> Path:
    return target.path if target.path.is_dir() else target.path.parent


def _groups(folders: list[Path]) -> Iterator[list[Path]]:
    """Split the folders into at most MAX_WATCHERS groups."""
    size = -(-len(folders) // MAX_WATCHERS) or 1
    return (folders[start : start + size] for start in range(0, len(folders), size))


def _gathered(changes: Changes, wait: Callable[[], None]) -> set[Path]:
    """Wait for the first change and return everything known to have changed by then.

    Calls `wait` now and then while nothing changes.
    """
    while True:
        try:
            # Without a timeout, Windows would not notice Ctrl-C.
            changed = changes.get(timeout=AGAIN_SECONDS)
            break
        except queue.Empty:
            wait()
    while not changes.empty():
        changed |= changes.get()
    return changed


class Watchers:
    """Threads that report what the system tells them, each about some folders."""

    def __init__(self, say: Say) -> None:
        self.changes = Changes()
        self._say = say
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, folders: list[Path], is_deep: bool) -> None:
        thread = threading.Thread(target=self._watch, args=(folders, is_deep), daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:  # grows while a group of folders is being split
            thread.join()

    def _watch(self, folders: list[Path], is_deep: bool) -> None:
        """Report changes until stopped. A folder that cannot be watched is separated from the
        others, which still can.
        """
        gone, said = set[Path](), ""
        while not self._stopped.is_set():
            seen = _identities(folders)  # first, so that every later change is noticed
            there = [folder for folder in folders if folder.is_dir()]
            for folder in sorted(set(folders) - set(there) - gone):
                self._say(
                    f"{folder} is gone; its pictures stay in the library until `retrieve forget`"
                )
            gone = set(folders) - set(there)
            try:
                self._pass_on(there, is_deep, partial(_are, folders, seen))
                said = ""
            except (OSError, RuntimeError) as error:  # RuntimeError: the system's other errors
                if not all(folder.is_dir() for folder in there):
                    continue
                if len(folders) > 1 and not is_spent(error):
                    half = len(folders) // 2
                    self.start(folders[:half], is_deep)
                    return self._watch(folders[half:], is_deep)
                said = self._do_without(there, error, said)

    def _pass_on(self, there: list[Path], is_deep: bool, are_same: Callable[[], bool]) -> None:
        """Report changes until a folder disappears, returns or is replaced by another.

        Changes from before the system began to report are found by one scan of all folders.
        """
        is_first = True
        if not there:
            while are_same() and not self._stopped.wait(AGAIN_SECONDS):
                pass
            return
        for told in changes_below(
            *there,
            watch_filter=None,
            debounce=WAIT_MS,
            step=QUIET_MS,
            rust_timeout=CHECK_MS,
            yield_on_timeout=True,
            stop_event=self._stopped,
            recursive=is_deep,
        ):
            if is_first:
                self.changes.put(set(there))
                is_first = False
            if told:
                self.changes.put({Path(path) for kind, path in told if _tells(kind, path)})
            elif not are_same():
                return

    def _do_without(self, there: list[Path], error: Exception, said: str) -> str:
        """Wait, then have the folders scanned once. Return the reason, after reporting it unless
        it is the one in `said`.
        """
        several = f" and {len(there) - 1:,} others" if len(there) > 1 else ""
        why = f"{there[0]}{several} cannot be watched ({_limit() if is_spent(error) else error})"
        if why != said:
            self._say(f"{why}; scanning every {UNWATCHED_SECONDS / 60:.0f} minutes instead")
        self._stopped.wait(UNWATCHED_SECONDS)
        self.changes.put(set(there))
        return why


def _limit() -> str:
    """Name the limit that was reached: the system reports both with the same error."""
    try:
        with open(os.devnull, "rb"), open(os.devnull, "rb"), open(os.devnull, "rb"):
            return "too many watchers; raise the sysctl fs.inotify.max_user_instances"
    except OSError:
        return SPENT


def _tells(kind: Change, path: str) -> bool:
    """Return whether a report matters: a folder's modification only repeats that of a file in it,
    but a new folder needs a scan.
    """
    return kind != Change.modified or not os.path.isdir(path)


def _are(folders: Sequence[Path], identities: Sequence[tuple[int, int] | None]) -> bool:
    return _identities(folders) == identities


def _identities(folders: Iterable[Path]) -> list[tuple[int, int] | None]:
    return [_identity(folder) for folder in folders]


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        return identity(os.stat(folder))
    except OSError:
        return None
