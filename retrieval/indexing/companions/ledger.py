"""What a scan finds beside pictures: their companions, and the files that are left out, counted.

Both are kept by folder, so that a scan of a part of a root replaces that part alone.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from retrieval.decoding.formats import FILM_EXTENSIONS, picture_extensions
from retrieval.decoding.kinds.names import (
    NAMED_KINDS,
    Kind,
    extension_of,
    kind_by_name,
    lacking,
)
from retrieval.decoding.kinds.signatures import kind_by_content
from retrieval.indexing.companions.pairs import DOUBLE, FILMS, Pair, may_accompany, pairs
from retrieval.indexing.options import MOVING, Moving
from retrieval.locate import BESIDE
from retrieval.records import Companion, Found, LeftOut, found_at

LIVE_SECONDS = 86_400  # between the times of a picture and its film: copies have that of the copy

Entry = os.DirEntry[bytes]


class Ledger:
    """The files of one scan that are not yielded as pictures."""

    def __init__(self, known: Collection[bytes] = (), moving: Moving = MOVING) -> None:
        """known: paths of the catalog that the scan has not met yet. They are never left out."""
        self._moving = moving
        self.left_out: Counter[tuple[bytes, str, str]] = Counter()  # folder, kind, extension
        self.companions: dict[bytes, Companion] = {}  # by path
        self.is_of_folders = True  # False: only the companions of named files are known
        self.is_unchanged = False  # nothing was listed, so what is known stays
        self._known = known

    @property
    def extensions(self) -> frozenset[bytes]:
        """Extensions of files that are pictures whatever is beside them."""
        if not self._moving.videos:
            return picture_extensions() - FILM_EXTENSIONS
        return picture_extensions() - FILMS if self._moving.pairs else picture_extensions()

    def leave_out(self, prefix: bytes, kind: Kind, extension: bytes = b"", count: int = 1) -> None:
        """Count files or folders. prefix: path of their folder, with a slash unless it is empty."""
        said = os.fsdecode(extension) if kind in NAMED_KINDS else ""
        self.left_out[prefix, kind.value, said] += count

    def skip(self, entry: Entry, prefix: bytes, others: list[Entry]) -> None:
        """Count a hidden or excluded entry of a folder; a hidden library is none of the user's.

        others: takes what a Mac leaves beside the files of disks of other systems.
        """
        is_hidden = entry.name.startswith(b".")
        with suppress(OSError):
            if entry.is_file():
                if entry.name.startswith(DOUBLE):
                    others.append(entry)
                elif prefix + entry.name not in self._known:
                    self.leave_out(prefix, Kind.HIDDEN if is_hidden else Kind.EXCLUDED)
            elif entry.is_dir() and os.fsdecode(entry.name) != BESIDE:
                kind = Kind.HIDDEN_FOLDER if is_hidden else Kind.EXCLUDED_FOLDER
                self.leave_out(prefix, kind)

    def settle(
        self, folder: bytes, prefix: bytes, pictures: list[bytes], others: Sequence[Entry]
    ) -> Iterator[Found]:
        """Account for the other files of a folder; yield those that are pictures by content."""
        paired = self._paired(folder, prefix, pictures, others)
        rest = [entry for entry in others if entry.name not in paired]
        lone, found = list[Entry](), len(pictures)
        for entry in rest:
            if (kind := self._kind(entry, prefix)) is None:
                with suppress(FileNotFoundError):
                    yield found_at(prefix + entry.name, entry.stat())
                    pictures.append(entry.name)
            elif may_accompany(entry.name):
                lone.append(entry)
            else:
                self._leave(entry, prefix, kind)
        late = self._paired(folder, prefix, pictures, lone) if len(pictures) > found else ()
        for entry in lone:
            if entry.name not in late:
                kind = self._kind(entry, prefix)
                self._leave(entry, prefix, kind or Kind.UNKNOWN)

    def lone_companions(self) -> int:
        """Count the companions that are not indexed themselves."""
        return sum(not each.is_picture for each in self.companions.values())

    def beside(self, root: bytes, paths: Iterable[bytes]) -> None:
        """Note the companions of single files, given relative to `root`."""
        self.is_of_folders = False
        folders: dict[bytes, list[bytes]] = {}
        for path in paths:
            folder, _, name = path.rpartition(b"/")
            folders.setdefault(folder, []).append(name)
        for folder, named in folders.items():
            place = os.path.join(root, folder)
            with suppress(OSError), os.scandir(place) as entries:
                others = [e for e in entries if may_accompany(e.name) and e.name not in named]
                self._paired(place, folder + b"/" if folder else b"", named, others)

    def _leave(self, entry: Entry, prefix: bytes, kind: Kind) -> None:
        if prefix + entry.name not in self._known:
            self.leave_out(prefix, kind, extension_of(entry.name))

    def _kind(self, entry: Entry, prefix: bytes) -> Kind | None:
        """Return the kind of a file without a picture beside it; None: it is one itself."""
        if entry.name.startswith(b"."):
            return Kind.HIDDEN
        extension = extension_of(entry.name)
        is_lacking = lacking(os.fsdecode(extension)) is not None
        if not is_lacking and (kind := kind_by_name(extension)):
            return kind
        if prefix + entry.name in self._known:
            return None
        if extension in picture_extensions():  # a video, as no picture by its name comes here
            return None if self._moving.videos else Kind.UNWANTED
        held = kind_by_content(entry.path)
        is_told = held in (Kind.UNKNOWN, Kind.RAW, Kind.VIDEO)
        return Kind.NEEDS if is_lacking and is_told else held

    def _paired(
        self, folder: bytes, prefix: bytes, pictures: Sequence[bytes], others: Sequence[Entry]
    ) -> set[bytes]:
        """Note the companions among these files; return the names of those that are no pictures."""
        entries = {entry.name: entry for entry in others if may_accompany(entry.name)}
        noted = set[bytes]()
        for pair in pairs(pictures, entries):
            entry = entries.get(pair.name)
            status = _status(entry.path if entry else os.path.join(folder, pair.name))
            if status is None or not _is_of_its_time(folder, pair, status):
                continue
            path, main = prefix + pair.name, prefix + pair.main
            if entry is None or path not in self._known:
                found = found_at(path, status)
                self.companions[path] = Companion(
                    path, main, pair.kind, found.size, found.mtime_ns, entry is None
                )
            noted.add(pair.name)
        return noted


def _is_of_its_time(folder: bytes, pair: Pair, status: os.stat_result) -> bool:
    """Return whether a film may belong to a picture of its name: cameras count from 1 again."""
    if pair.kind != "live":
        return True
    main = _status(os.path.join(folder, pair.main))
    return main is not None and abs(main.st_mtime - status.st_mtime) <= LIVE_SECONDS


def _status(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def total(counts: Iterable[Counter[tuple[bytes, str, str]]]) -> tuple[LeftOut, ...]:
    """Return what was left out of all folders, by kind and extension."""
    sums: Counter[tuple[str, str]] = Counter()
    for of_folders in counts:
        for (_, kind, extension), count in of_folders.items():
            sums[kind, extension] += count
    return tuple(LeftOut(*at, count) for at, count in sorted(sums.items()))


def is_picture(path: Path) -> bool:
    """Return whether a file whose name does not say so is a picture by its first bytes."""
    extension = extension_of(os.fsencode(path.name))
    is_sure = kind_by_name(extension) is not None and lacking(os.fsdecode(extension)) is None
    return not is_sure and path.is_file() and kind_by_content(os.fsencode(path)) is None


def picture_of_sidecar(path: Path) -> Path | None:
    """Return the picture that a sidecar belongs to, if it is one and has any."""
    name = os.fsencode(path.name)
    if extension_of(name) not in (b".xmp", b".json"):
        return None
    with suppress(OSError):
        beside = [os.fsencode(each) for each in os.listdir(path.parent)]
        pictures = [each for each in beside if extension_of(each) in picture_extensions()]
        found = (pair.main for pair in pairs(pictures, [name]) if pair.name == name)
        return next((path.with_name(os.fsdecode(main)) for main in found), None)
    return None
