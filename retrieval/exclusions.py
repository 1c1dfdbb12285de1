"""What a root leaves out, run after run: the user's globs, and the places that he made it forget.

A glob is matched against names, and against paths relative to the folder that it was given for. A
forgotten place is itself, whatever characters are in its name; what is named below it, or in spite
of a glob, comes in again.
"""

import fnmatch
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple, TypeVar

from retrieval.paths import composed

T = TypeVar("T")

NONE = "none"  # in place of a glob: forget what was excluded before

Excluded = Callable[[bytes, bytes], bool]  # (name, path of its folder with a slash, or b"")


class Glob(NamedTuple):
    """A pattern, and the folder of the root, relative to it, in which it holds."""

    pattern: str
    below: bytes = b""


@dataclass(frozen=True, slots=True)
class Exclusions:
    """Places are relative to the root, as in the catalog."""

    globs: tuple[Glob, ...] = ()
    forgotten: tuple[bytes, ...] = ()
    named: tuple[bytes, ...] = ()  # which come in all the same

    def __bool__(self) -> bool:
        return bool(self.globs or self.forgotten)

    def with_globs(self, patterns: Sequence[str], inside: bytes) -> "Exclusions":
        """Those that hold at or below `inside`; NONE drops what held there before."""
        kept = self.without(inside) if NONE in patterns else self
        new = [Glob(pattern, inside) for pattern in patterns if pattern != NONE]
        return replace(kept, globs=_once([*kept.globs, *new]))

    def without(self, inside: bytes) -> "Exclusions":
        """Less all that holds at or below a place alone."""
        return Exclusions(
            tuple(glob for glob in self.globs if not is_within(glob.below, inside)),
            tuple(path for path in self.forgotten if not is_within(path, inside)),
            tuple(path for path in self.named if not is_within(path, inside)),
        )

    def with_forgotten(self, inside: bytes) -> "Exclusions":
        """Less what is at or below a place."""
        rest = replace(
            self,
            forgotten=tuple(path for path in self.forgotten if not is_within(path, inside)),
            named=tuple(path for path in self.named if not is_within(path, inside)),
        )
        is_left_out = is_excluded(inside, rest.excluded())
        return rest if is_left_out else replace(rest, forgotten=_once([*rest.forgotten, inside]))

    def with_named(self, inside: bytes) -> "Exclusions":
        """With what is at a place, if it was left out."""
        if not inside or not is_excluded(inside, self.excluded()):
            return self
        rest = replace(self, forgotten=tuple(path for path in self.forgotten if path != inside))
        if not is_excluded(inside, rest.excluded()):
            return rest
        return replace(rest, named=_once([*rest.named, inside]))

    def moved(self, source: bytes, goal: bytes, *, is_same_root: bool = False) -> "Exclusions":
        """What holds at or below `source`, as it holds for the same files at `goal`. In another
        root that includes what holds for all of this one.
        """
        some = [glob for glob in self.globs if not is_same_root or is_within(glob.below, source)]
        globs = (_moved_glob(glob, source, goal) for glob in some)
        return Exclusions(
            tuple(glob for glob in globs if glob is not None),
            tuple(_moved(path, source, goal) for path in self.forgotten if is_within(path, source)),
            tuple(_moved(path, source, goal) for path in self.named if is_within(path, source)),
        )

    def and_(self, other: "Exclusions") -> "Exclusions":
        everywhere = {glob.pattern for glob in self.globs if not glob.below}
        new = [g for g in other.globs if "/" in g.pattern or g.pattern not in everywhere]
        return Exclusions(
            _once([*self.globs, *new]),
            _once([*self.forgotten, *other.forgotten]),
            _once([*self.named, *other.named]),
        )

    def excluded(self) -> Excluded:
        """Whether a name in a folder is left out; one with something in it that is not, is not."""
        if not self:
            return lambda name, prefix: False
        matches = [_matching(below, patterns) for below, patterns in _by_folder(self.globs)]
        return _Rules(matches, self.forgotten, self.named)

    def described(self) -> list[str]:
        """As globs relative to the root; what is left in has an exclamation mark."""
        globs = [_written(glob) for glob in self.globs]
        named = [f"!{os.fsdecode(path)}" for path in self.named]
        return [*globs, *map(os.fsdecode, self.forgotten), *named]

    # -- in a catalog ----------------------------------------------------------------------------

    def stored(self) -> str | None:
        """JSON: a string is a glob for all of the root."""
        entries: list[object] = [
            {"glob": glob.pattern, "below": os.fsdecode(glob.below)} if glob.below else glob.pattern
            for glob in self.globs
        ]
        entries += [{"path": os.fsdecode(path)} for path in self.forgotten]
        entries += [{"named": os.fsdecode(path)} for path in self.named]
        return json.dumps(entries) if entries else None


@lru_cache(maxsize=1_024)
def read(stored: str | None) -> Exclusions:
    """As `Exclusions.stored` wrote it; what no version wrote leaves out nothing."""
    try:
        entries = [{"glob": e} if isinstance(e, str) else e for e in json.loads(stored or "[]")]
        globs = [Glob(e["glob"], os.fsencode(e.get("below", ""))) for e in entries if "glob" in e]
        forgotten = [os.fsencode(e["path"]) for e in entries if "path" in e]
        named = [os.fsencode(e["named"]) for e in entries if "named" in e]
    except (ValueError, TypeError, AttributeError):
        return Exclusions()
    return Exclusions(tuple(globs), tuple(forgotten), tuple(named))


def of(patterns: Iterable[str]) -> Exclusions:
    """Globs for all of a root."""
    return Exclusions(tuple(map(Glob, patterns)))


def is_excluded(path: bytes, excluded: Excluded) -> bool:
    """Whether the file, or one of the folders above it, is left out."""
    parts = path.split(b"/")
    folders = (b"".join(part + b"/" for part in parts[:depth]) for depth in range(len(parts)))
    return any(excluded(part, folder) for part, folder in zip(parts, folders, strict=True))


def is_within(path: bytes, folder: bytes) -> bool:
    """Whether a place is at or below another of the same root."""
    return not folder or path == folder or path.startswith(folder + b"/")


class _Rules:
    """The nearest forgotten or named place at or above a file decides, and otherwise the globs."""

    def __init__(
        self, matches: Sequence[Excluded], forgotten: Iterable[bytes], named: Iterable[bytes]
    ) -> None:
        self._matches = matches
        self._forgotten, self._named = frozenset(forgotten), frozenset(named)
        above = ((path, path.split(b"/")) for path in self._named)
        self._on_the_way = {
            b"/".join(parts[:depth]) for _, parts in above for depth in range(1, len(parts))
        }
        self._decided = cache(self._nearest)

    def __call__(self, name: bytes, prefix: bytes) -> bool:
        path = prefix + name
        if path in self._named or path in self._on_the_way:
            return False
        if path in self._forgotten or self._decided(prefix):
            return True
        return any(match(name, prefix) for match in self._matches)

    def _nearest(self, prefix: bytes) -> bool:
        """Whether the files of a folder are left out, of those that it has beside named ones."""
        folder = prefix.removesuffix(b"/")
        while folder:
            if folder in self._named:
                return False
            if folder in self._forgotten or (folder in self._on_the_way and self._globbed(folder)):
                return True
            folder = folder.rpartition(b"/")[0]
        return False

    def _globbed(self, folder: bytes) -> bool:
        above, slash, name = folder.rpartition(b"/")
        return any(match(name, above + slash) for match in self._matches)


def _by_folder(globs: Iterable[Glob]) -> list[tuple[bytes, list[str]]]:
    folders: dict[bytes, list[str]] = {}
    for pattern, below in globs:
        folders.setdefault(below, []).append(pattern)
    return list(folders.items())


def _matching(below: bytes, patterns: Sequence[str]) -> Excluded:
    """Whether a name, or its path relative to `below`, matches one of the globs."""
    globs = (fnmatch.translate(composed(pattern.rstrip("/"))) for pattern in patterns)
    match = re.compile("|".join(f"(?:{glob})" for glob in globs)).match
    start = below + b"/" if below else b""

    def matches(name: bytes, prefix: bytes) -> bool:
        if not prefix.startswith(start):
            return False
        names = composed(os.fsdecode(name)), composed(os.fsdecode(prefix[len(start) :] + name))
        return any(map(match, names))

    return matches


def _moved(path: bytes, source: bytes, goal: bytes) -> bytes:
    inside = path[len(source) :].lstrip(b"/")
    return b"/".join(part for part in (goal, inside) if part)


def _moved_glob(glob: Glob, source: bytes, goal: bytes) -> Glob | None:
    """None for one that does not concern `source`."""
    if is_within(glob.below, source):
        return Glob(glob.pattern, _moved(glob.below, source, goal))
    if not is_within(source, glob.below):
        return None
    start = os.fsdecode(_moved(source, glob.below, b"")) + "/"  # as the pattern would begin
    if "/" not in glob.pattern.rstrip("/"):
        return Glob(glob.pattern, goal)
    return Glob(glob.pattern[len(start) :], goal) if glob.pattern.startswith(start) else None


def _written(glob: Glob) -> str:
    if not glob.below:
        return glob.pattern
    deep = "" if "/" in glob.pattern.rstrip("/") else "**/"
    return f"{os.fsdecode(glob.below)}/{deep}{glob.pattern}"


def _once(several: Iterable[T]) -> tuple[T, ...]:
    return tuple(dict.fromkeys(several))
