"""Paths as a catalog stores them: bytes relative to a root, separated by "/", not always text.

A name with accents has two forms in Unicode, composed (NFC) and decomposed (NFD, as Macs write it).
To a user they are one name; to most file systems they are two, and both may exist.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.address import RemotePath, is_address
from retrieval.errors import InvalidValue, PathNotFound
from retrieval.values import check_path, shown

StrPath = str | os.PathLike[str]
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def given(path: StrPath) -> Path:
    """Return the path that a user gave, with ~ expanded. Raises PathNotFound for an empty one,
    which `Path` would take for the current folder, and InvalidValue for what is no path.
    """
    check_path(path)
    if not os.fspath(path):
        raise PathNotFound("the path is empty; name a folder or a file")
    return as_on_disk(with_home(path))


def several_given(paths: StrPath | Iterable[StrPath]) -> list[Path]:
    """Return the paths that a user gave, one or several. Raises what `given` raises."""
    if isinstance(paths, (str, os.PathLike)):
        return [given(paths)]
    if isinstance(paths, bytes) or not isinstance(paths, Iterable):
        raise InvalidValue(f"paths must be a str, a Path or several, not {shown(paths)}")
    return [given(path) for path in paths]


def with_home(path: StrPath) -> Path:
    """Expand `~` and `~name` to home folders; an unknown name stays as it is. Raises PathNotFound
    for text that cannot be a file name: with a NUL byte, or not encodable; InvalidValue for what is
    no path.
    """
    check_path(path)
    try:
        if b"\0" in os.fsencode(path):
            raise ValueError("a NUL byte")
        if is_address(os.fspath(path)):
            return RemotePath(os.fspath(path))
        return Path(os.path.expanduser(path))
    except ValueError as error:
        raise PathNotFound(f"no such file or folder: {os.fspath(path)!r}") from error


def composed(name: str) -> str:
    """Return the composed form of a name."""
    if name.isascii():
        return name
    import unicodedata

    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """Return a form of a name without upper case, the same for both Unicode forms."""
    return composed(name.lower())


def as_on_disk(path: Path) -> Path:
    """Spell each name of a path as its folder lists it; names that are not listed stay."""
    if os.fspath(path).isascii() or isinstance(path, RemotePath):
        return path
    found = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        found /= part if part.isascii() else _listed(found, part)
    return found


def _listed(folder: Path, name: str) -> str:
    try:
        names = os.listdir(folder)
    except (OSError, ValueError):
        return name
    same = composed(name)
    return name if name in names else min((n for n in names if composed(n) == same), default=name)


def place(root: Path, path: bytes) -> Path:
    """Return the absolute path of a stored path; the member of a list is an address of its own."""
    if (at := path.find(b"://")) > 0:
        return RemotePath(os.fsdecode(path[path.rfind(b"/", 0, at) + 1 :]))
    return root / os.fsdecode(path)


def spellings(path: Path) -> list[Path]:
    """Return the forms under which a user's path may be stored: as written, and with links
    followed.

    Roots are stored with their links followed, but below a root a link is a name like any other.
    """
    if isinstance(path, RemotePath):
        return [path]
    written = Path(os.path.abspath(path))
    if "\0" in os.fspath(written):  # no file has such a name, and no call takes it
        return [written]
    through = Path(os.path.realpath(written.parent)) / written.name
    return list(dict.fromkeys([written, through, Path(os.path.realpath(path))]))


def relative(root: Path, path: Path) -> bytes | None:
    """Return `path` relative to `root` as the catalog stores it, b"" for the root itself; None
    outside.
    """
    parts, above = path.parts, root.parts
    if parts[: len(above)] != above and not _is_equal(parts[: len(above)], above):
        return None
    return os.fsencode("/".join(parts[len(above) :]))


def _is_equal(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return len(some) == len(others) and [*map(composed, some)] == [*map(composed, others)]


def is_file(word: str) -> bool:
    """Return whether a word, which may be anything, is the path of a regular file."""
    try:
        return os.path.isfile(as_on_disk(Path(word)) if not word.isascii() else word)
    except ValueError:  # a NUL byte
        return False


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return device and inode, which identify a file under any name."""
    return status.st_dev, status.st_ino


@contextmanager
def part_beside(file: Path, mode: int = 0o666) -> Iterator[Path]:
    """Yield a new empty file beside `file`, to be renamed to it; otherwise it is removed."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    create(part, mode)
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Yield a path to write to, which replaces `file` at the end: completely, or not at all."""
    with part_beside(file) as part:
        yield part
        os.replace(part, file)


def create(file: Path, mode: int = 0o666) -> None:
    """Create an empty file, replacing whatever has its name, which may be a link. Raises OSError.

    A library can come from anywhere and contain links with the names of our files; their targets
    are not ours to write to.
    """
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NO_LINKS, mode))


def drop_link(file: Path) -> None:
    """Remove a link that has the name of one of our files, before the file is opened for writing.
    For files that may be lost. Raises OSError.
    """
    if os.path.islink(file):
        file.unlink()


def size_of(path: Path) -> int:
    """Return a file's size in bytes; 0 if it does not exist, as SQLite's files come and go."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def database_files(path: Path) -> tuple[Path, ...]:
    """Return all files that SQLite opens, or creates, for a database."""
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal"))
