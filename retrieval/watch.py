"""What changes on disk comes into the library by itself: `retrieve watch`.

A thread for each folder passes on what the system tells of it; this one gathers that, finds out
which of it matters, and runs the indexer over exactly those files and folders.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from watchfiles import Change
from watchfiles import watch as changes_below

from retrieval.catalog import Catalog
from retrieval.errors import Interrupted, LibraryBusy, PathNotFound
from retrieval.exclusions import Excluded
from retrieval.language import is_named_as_picture
from retrieval.library import Library
from retrieval.notices import Notices
from retrieval.paths import given, relative
from retrieval.records import Progress, Summary
from retrieval.scan import lists
from retrieval.targets import Target, resolve

QUIET_MS = 200  # that pass without a change before what changed is told
WAIT_MS = 2_000  # at most, while changes go on
CHECK_MS = 1_000  # between two looks whether a folder is still there
AGAIN_SECONDS = 1.0  # between two looks for one that is not, or two tries for a busy library
UNWATCHED_SECONDS = 300.0  # between two runs over a folder that the system cannot watch
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
            changed = _gathered(changes)
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
    changes, stop = Changes(), threading.Event()
    threads = [
        threading.Thread(target=_watch, args=(target, changes, stop, say), daemon=True)
        for target in targets
    ]
    for thread in threads:
        thread.start()
    try:
        yield changes
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _gathered(changes: Changes) -> set[Path]:
    """All that is known to have changed; waits for the first."""
    while True:
        try:
            changed = changes.get(timeout=AGAIN_SECONDS)  # without one, Windows hears no Ctrl-C
            break
        except queue.Empty:
            continue
    while not changes.empty():
        changed |= changes.get()
    return changed


def _watch(target: Target, changes: Changes, stop: threading.Event, say: Say) -> None:
    """One target, as long as it is wanted."""
    folder = target.path if target.path.is_dir() else target.path.parent
    said = ""  # why it cannot be watched: once
    while not stop.is_set():
        try:
            _pass_on(folder, target.root.entire, changes, stop)
        except (OSError, RuntimeError) as error:  # RuntimeError: other complaints of the system
            if folder.is_dir():
                if said != str(error):
                    say(f"{folder} cannot be watched ({error}); it is looked through now and then")
                said = str(error)
                stop.wait(UNWATCHED_SECONDS)
                changes.put({folder})
        if not stop.is_set() and not folder.is_dir():
            say(f"{folder} is gone; what is known there is kept (`retrieve forget` drops it)")
            said = ""
            while not folder.is_dir() and not stop.wait(AGAIN_SECONDS):
                pass


def _pass_on(folder: Path, is_deep: bool, changes: Changes, stop: threading.Event) -> None:
    """Until the folder is gone, or another one has its name. What came to pass before the system
    began to tell of changes is found by looking through it once.
    """
    identity, is_first = _identity(folder), True
    for told in changes_below(
        folder,
        watch_filter=None,
        debounce=WAIT_MS,
        step=QUIET_MS,
        rust_timeout=CHECK_MS,
        yield_on_timeout=True,
        stop_event=stop,
        recursive=is_deep,
    ):
        if is_first:
            changes.put({folder})
            is_first = False
        if told:
            changes.put({Path(path) for kind, path in told if _tells(kind, path)})
        elif _identity(folder) != identity:
            return


def _tells(kind: Change, path: str) -> bool:
    """A folder is told of when something in it is, too; a new one has to be looked through."""
    return kind != Change.modified or not os.path.isdir(path)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
