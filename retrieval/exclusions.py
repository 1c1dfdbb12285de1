"""Exclusions: the globs and the forgotten places that a root leaves out in every run.

A glob is matched against names, and against paths relative to the folder it was given for. A
forgotten place is matched literally, whatever characters its name contains. Files that the user
names explicitly are included nevertheless.
"""

import fnmatch
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import NamedTuple, TypeVar

from retrieval.errors import InvalidValue
from retrieval.paths import composed

T = TypeVar("T")

NONE = "none"  # instead of a glob: drop all earlier exclusions

Excluded = Callable[[bytes, bytes], bool]  # (name, path of its folder with a slash, or b"")


class Glob(NamedTuple):
    """A pattern, and the folder, relative to the root, in which it applies."""

    pattern: str
    below: bytes = b""


@dataclass(frozen=True, slots=True)
class Exclusions:
    """The exclusions of one root. Paths are relative to it, as in the catalog."""

    globs: tuple[Glob, ...] = ()
    forgotten: tuple[bytes, ...] = ()
    named: tuple[bytes, ...] = ()  # included nevertheless

    def __bool__(self) -> bool:
        return bool(self.globs or self.forgotten)

    def with_globs(self, patterns: Sequence[str], inside: bytes) -> "Exclusions":
        """Return these plus globs that apply at or below `inside`; NONE drops the earlier ones."""
        kept = self.without(inside) if NONE in patterns else self
        new = [Glob(pattern, inside) for pattern in patterns if pattern != NONE]
        return replace(kept, globs=_once([*kept.globs, *new]))

    def without(self, inside: bytes) -> "Exclusions":
        """Return these without those that apply only at or below `inside`."""
        return Exclusions(
            tuple(glob for glob in self.globs if not is_within(glob.below, inside)),
            tuple(path for path in self.forgotten if not is_within(path, inside)),
            tuple(path for path in self.named if not is_within(path, inside)),
        )

    def with_forgotten(self, inside: bytes) -> "Exclusions":
        """Return these with everything at or below `inside` forgotten."""
        rest = replace(
            self,
            forgotten=tuple(path for path in self.forgotten if not is_within(path, inside)),
            named=tuple(path for path in self.named if not is_within(path, inside)),
        )
        is_left_out = is_excluded(inside, rest.excluded())
        return rest if is_left_out else replace(rest, forgotten=_once([*rest.forgotten, inside]))

    def with_named(self, inside: bytes) -> "Exclusions":
        """Return these with `inside` let in, if it was left out."""
        if not inside or not is_excluded(inside, self.excluded()):
            return self
        rest = replace(self, forgotten=tuple(path for path in self.forgotten if path != inside))
        if not is_excluded(inside, rest.excluded()):
            return rest
        return replace(rest, named=_once([*rest.named, inside]))

    def moved(self, source: bytes, goal: bytes, *, is_same_root: bool = False) -> "Exclusions":
        """Return the exclusions for the files at or below `source` after a move to `goal`.

        In another root they include those that apply to all of this one.
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
        """Return a test of whether a name in a folder is left out. A folder that holds a file let
        in is not left out.
        """
        if not self:
            return lambda name, prefix: False
        matches = [_matching(below, patterns) for below, patterns in _by_folder(self.globs)]
        return _Rules(matches, self.forgotten, self.named)

    def described(self) -> list[str]:
        """List them as globs relative to the root; `!` marks a file that is let in."""
        globs = [_written(glob) for glob in self.globs]
        named = [f"!{os.fsdecode(path)}" for path in self.named]
        return [*globs, *map(os.fsdecode, self.forgotten), *named]

    # -- in a catalog ----------------------------------------------------------------------------

    def stored(self) -> str | None:
        """Return JSON for the catalog, None if there are none. A bare string is a glob for the
        whole root.
        """
        entries: list[object] = [
            {"glob": glob.pattern, "below": os.fsdecode(glob.below)} if glob.below else glob.pattern
            for glob in self.globs
        ]
        entries += [{"path": os.fsdecode(path)} for path in self.forgotten]
        entries += [{"named": os.fsdecode(path)} for path in self.named]
        return json.dumps(entries) if entries else None


@lru_cache(maxsize=1_024)
def read(stored: str | None) -> Exclusions:
    """Read what `Exclusions.stored` wrote; anything else counts as no exclusions."""
    try:
        entries = [{"glob": e} if isinstance(e, str) else e for e in json.loads(stored or "[]")]
        globs = [Glob(e["glob"], os.fsencode(e.get("below", ""))) for e in entries if "glob" in e]
        forgotten = [os.fsencode(e["path"]) for e in entries if "path" in e]
        named = [os.fsencode(e["named"]) for e in entries if "named" in e]
    except (ValueError, TypeError, AttributeError):
        return Exclusions()
    return Exclusions(tuple(globs), tuple(forgotten), tuple(named))


def check_patterns(patterns: Iterable[str]) -> None:
    """Raise InvalidValue for a pattern that can match no name, or not what it was meant to."""
    for pattern in patterns:
        if wrong := _what_is_wrong(pattern):
            raise InvalidValue(f"the pattern {pattern!r} cannot be excluded: {wrong}")


def _what_is_wrong(pattern: str) -> str | None:
    bare = pattern.strip()
    if pattern == NONE:
        return None
    if bare.lower() == NONE:
        return f"did you mean “{NONE}”? A file of that name is [{bare[0]}]{bare[1:]}"
    if not bare or "\0" in pattern:
        return "it is empty" if not bare else "no name has a NUL byte"
    if pattern.startswith(("/", "~/")):
        return "it is an absolute path; give a name, or a path relative to the folder"
    if not {"", ".", ".."}.isdisjoint(pattern.rstrip("/").split("/")):
        return "give a name, or a path relative to the folder, without ./ and ../"
    if re.search(r"\{[^{}]*,[^{}]*\}", pattern):
        return "braces are not expanded; give a pattern for each"
    if _has_open_bracket(pattern):
        return "a bracket is not closed; [[] stands for the bracket itself"
    if "(?!)" in fnmatch.translate(pattern):  # how it translates an empty set of characters
        return "the range in its brackets is empty"
    return None


def _has_open_bracket(pattern: str) -> bool:
    """Return whether a set of characters is not closed; “]” may be the first one in it."""
    return "[" in re.sub(r"\[!?+\]?+[^\]]*\]", "", pattern)


def of(patterns: Iterable[str]) -> Exclusions:
    """Return exclusions by globs that apply to a whole root."""
    return Exclusions(tuple(map(Glob, patterns)))


def is_excluded(path: bytes, excluded: Excluded) -> bool:
    """Return whether the file, or a folder above it, is left out."""
    parts = path.split(b"/")
    folders = (b"".join(part + b"/" for part in parts[:depth]) for depth in range(len(parts)))
    return any(excluded(part, folder) for part, folder in zip(parts, folders, strict=True))


def is_within(path: bytes, folder: bytes) -> bool:
    """Return whether a path is at or below another one in the same root."""
    return not folder or path == folder or path.startswith(folder + b"/")


class _Rules:
    """The rule: the nearest forgotten or named place at or above a file decides, then the globs."""

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
        """Return whether the files of a folder are left out, apart from named ones."""
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
    """Return a test of whether a name, or its path relative to `below`, matches a glob."""
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
    """Return the glob for the new place; None if it does not concern `source`."""
    if is_within(glob.below, source):
        return Glob(glob.pattern, _moved(glob.below, source, goal))
    if not is_within(source, glob.below):
        return None
    start = os.fsdecode(_moved(source, glob.below, b"")) + "/"  # how the pattern would begin
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
