"""What changes on disk comes into the library by itself: `retrieve watch`.

Some threads, each for some folders, pass on what the system tells of them; this one gathers that,
finds out which of it matters, and runs the indexer over exactly those files and folders.
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

from retrieval.catalog.reading import Catalog
from retrieval.decoding.formats import is_named_as_picture
from retrieval.errors import SPENT, LibraryBusy, PathNotFound, is_spent
from retrieval.exclusions import Excluded
from retrieval.indexing.scan import lists
from retrieval.indexing.targets import Target, resolve
from retrieval.interrupted import Interrupted
from retrieval.library import Library
from retrieval.notices import Notices
from retrieval.paths import given, identity, relative
from retrieval.records import Progress, Summary

QUIET_MS = 200  # that pass without a change before what changed is told
WAIT_MS = 2_000  # at most, while changes go on
CHECK_MS = 1_000  # between two looks whether a folder is still there
AGAIN_SECONDS = 1.0  # between two looks for one that is not, or two tries for a busy library
UNWATCHED_SECONDS = 300.0  # between two runs over a folder that the system cannot watch
WATCHERS = 16  # at most: the system has three files for each, and 128 of them for a user
MANY = 100  # files, of which rather the folders are looked through

Say = Callable[[str], None]
Bar = Callable[[], AbstractContextManager[Callable[[Progress], None] | None]]


def watch(
    library: Library,
    paths: Sequence[Path],
    *,
    exclude: Sequence[str] = (),
    bar: Bar,
    ran: Callable[[Summary], None],
    say: Say,
) -> None:
    """Bring the library up to date with `paths` (none: all that it knows), and keep it so until it
    is interrupted. bar: gives what is told of the progress of one run. ran: told what each run did,
    without the problems that it has been told of. say: told of what stands in the way.

    Raises Interrupted when that happens in a run; and as `Library.index` does, but for a library
    that is busy: it is waited for.
    """
    paths = [given(path) for path in paths]
    indexer = Patient(library, bar, say)
    ran(indexer.index(paths, exclude))  # which the library remembers
    targets = resolve(library.catalog, paths)
    with watching(targets, say) as changes:
        while True:
            changed = _gathered(changes, library.rest)
            while due := what_matters(library.catalog, targets, changed):
                try:
                    ran(indexer.index(due))
                    break
                except PathNotFound:  # gone meanwhile, as it will turn out
                    continue


class Patient:
    """Runs that wait for other writers, and say once what was left as it was."""

    def __init__(self, library: Library, bar: Bar, say: Say) -> None:
        self._library = library
        self._bar = bar
        self._say = say
        self._notices = Notices()

    def index(self, paths: Sequence[Path], exclude: Sequence[str] = ()) -> Summary:
        is_told = False
        while True:
            try:
                with self._bar() as progress:
                    summary = self._library.index(paths, exclude=exclude, progress=progress)
                return self._brief(summary, paths)
            except Interrupted as interrupt:
                raise Interrupted(self._brief(interrupt.summary, paths)) from None
            except LibraryBusy as error:
                if not is_told:
                    self._say(str(error))
                is_told = True
                time.sleep(AGAIN_SECONDS)

    def _brief(self, summary: Summary, paths: Sequence[Path]) -> Summary:
        return replace(summary, problems=self._notices.fresh(summary.problems, paths))


def what_matters(
    catalog: Catalog, targets: Sequence[Target], changed: Iterable[Path]
) -> list[Path]:
    """The files and folders that have to be looked at, of those that changed."""
    targets = [target for target in targets if target.root.path.is_dir()]
    if not targets:  # the library may be away with them
        return []
    excluded = {root.id: root.exclusions.excluded() for root in catalog.roots()}
    due = {
        place: target.root.path
        for path in changed
        for target in targets
        if target.root.id in excluded  # else it was forgotten meanwhile
        if (place := _place(catalog, target, path, excluded[target.root.id])) is not None
    }
    if len(due) > MANY:
        return sorted({_folder(place, root) for place, root in due.items()})
    return sorted(due)


def _place(catalog: Catalog, target: Target, path: Path, excluded: Excluded) -> Path | None:
    """Where to look because of a change: there, or in the folder out of which it went."""
    root = target.root
    inside = relative(root.path, path)
    if inside is None or not path.is_relative_to(target.path) or not root.path.is_dir():
        return None
    if path.is_relative_to(catalog.folder) or (inside and not lists(inside, excluded)):
        return None
    is_known = catalog.has_files(root.id, inside)
    if not path.exists():
        is_file = catalog.image_at(path) is not None
        return (path if is_file else _folder(path, root.path)) if is_known else None
    if not root.entire:
        return path if is_known else None
    return path if path.is_dir() or is_named_as_picture(path.name) else None


def _folder(place: Path, root: Path) -> Path:
    """The first folder at or above a place that is there, but none above the root."""
    inside = [each for each in (place, *place.parents) if each.is_relative_to(root)]
    return next((each for each in inside if each.is_dir()), root)


# -- what the system tells -----------------------------------------------------------------------

Changes = queue.SimpleQueue[set[Path]]


@contextmanager
def watching(targets: Sequence[Target], say: Say) -> Iterator[Changes]:
    """What changes at or below the targets, a set at a time."""
    watchers = Watchers(say)
    for is_deep in (True, False):
        folders = {_folder_of(target) for target in targets if target.root.entire == is_deep}
        for part in _parts(sorted(folders)):
            watchers.start(part, is_deep)
    try:
        yield watchers.changes
    finally:
        watchers.stop()


def _folder_of(target: Target) -> Path:
    return target.path if target.path.is_dir() else target.path.parent


def _parts(folders: list[Path]) -> Iterator[list[Path]]:
    """In as many parts as may be watched apart from each other."""
    size = -(-len(folders) // WATCHERS) or 1
    return (folders[start : start + size] for start in range(0, len(folders), size))


def _gathered(changes: Changes, wait: Callable[[], None]) -> set[Path]:
    """All that is known to have changed; waits for the first, and calls `wait` now and then."""
    while True:
        try:
            changed = changes.get(timeout=AGAIN_SECONDS)  # without one, Windows hears no Ctrl-C
            break
        except queue.Empty:
            wait()
    while not changes.empty():
        changed |= changes.get()
    return changed


class Watchers:
    """Threads that pass on what the system tells, each of some folders."""

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
        for thread in self._threads:  # one that is split up has added others
            thread.join()

    def _watch(self, folders: list[Path], is_deep: bool) -> None:
        """As long as they are wanted. One that cannot be watched is kept apart from the others."""
        gone, said = set[Path](), ""
        while not self._stopped.is_set():
            seen = _identities(folders)  # first of all: what changes from here on is noticed
            there = [folder for folder in folders if folder.is_dir()]
            for folder in sorted(set(folders) - set(there) - gone):
                self._say(
                    f"{folder} is gone; what is known there is kept (`retrieve forget` drops it)"
                )
            gone = set(folders) - set(there)
            try:
                self._pass_on(there, is_deep, partial(_are, folders, seen))
                said = ""
            except (OSError, RuntimeError) as error:  # RuntimeError: other complaints of the system
                if not all(folder.is_dir() for folder in there):
                    continue
                if len(folders) > 1 and not is_spent(error):
                    half = len(folders) // 2
                    self.start(folders[:half], is_deep)
                    return self._watch(folders[half:], is_deep)
                said = self._do_without(there, error, said)

    def _pass_on(self, there: list[Path], is_deep: bool, are_same: Callable[[], bool]) -> None:
        """Until one of the folders is gone or comes back, or another one has its name. What came to
        pass before the system began to tell of changes is found by looking through them once.
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
        """Look through them once, after a while. Return why, which is said unless it was before."""
        several = f" and {len(there) - 1:,} others" if len(there) > 1 else ""
        why = f"{there[0]}{several} cannot be watched ({_limit() if is_spent(error) else error})"
        if why != said:
            self._say(f"{why}; looking through now and then instead")
        self._stopped.wait(UNWATCHED_SECONDS)
        self.changes.put(set(there))
        return why


def _limit() -> str:
    """Which one was reached: the system answers the same for both."""
    try:
        with open(os.devnull, "rb"), open(os.devnull, "rb"), open(os.devnull, "rb"):
            return "too many watchers; raise the sysctl fs.inotify.max_user_instances"
    except OSError:
        return SPENT


def _tells(kind: Change, path: str) -> bool:
    """A folder is told of when something in it is, too; a new one has to be looked through."""
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
