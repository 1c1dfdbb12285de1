"""Paths as a catalog writes them: bytes below a root, "/" between; names need not be text.

A name with accents has two forms in Unicode, composed (NFC) and decomposed (NFD, as Macs write it).
To a user they are one name; to most file systems they are two, and there may be files of both.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrieval.errors import PathNotFound

StrPath = str | os.PathLike[str]
NO_LINKS = getattr(os, "O_NOFOLLOW", 0)


def given(path: StrPath) -> Path:
    """A path as the user named it. Raises PathNotFound for an empty one, which `Path` would take
    for the current folder.
    """
    if not os.fspath(path):
        raise PathNotFound("the path is empty; name a folder or a file")
    return as_on_disk(with_home(path))


def with_home(path: StrPath) -> Path:
    """With `~` and `~name` as home folders; the name of nobody stays as it is. Raises PathNotFound
    for what no file can be called.
    """
    if not is_nameable(path):
        raise PathNotFound(f"no such file or folder: {os.fspath(path)!r}")
    return Path(os.path.expanduser(path))


def is_nameable(path: StrPath) -> bool:
    """Whether the system takes it for a path: no NUL, and only text or bytes."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def at_home(path: StrPath) -> str:
    """A path with its ~ or ~user expanded; as it is where no user can have that name."""
    try:
        return os.path.expanduser(os.fspath(path))
    except ValueError:  # a NUL byte, or what no encoding can write
        return os.fspath(path)


def composed(name: str) -> str:
    """The same for both forms of a name."""
    if name.isascii():
        return name
    import unicodedata

    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """The same for both forms of a name, in upper and lower case."""
    return composed(name.lower())


def as_on_disk(path: Path) -> Path:
    """With each name in the form in which its folder lists it; as it is where it is not listed."""
    if os.fspath(path).isascii():
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
    """The absolute path of a file."""
    return root / os.fsdecode(path)


def spellings(path: Path) -> list[Path]:
    """What a user's path may be known as: as written, or with the links in it followed.

    Roots are stored with their links followed, but below a root a link is a name like another.
    """
    written = Path(os.path.abspath(path))
    if "\0" in os.fspath(written):  # no file has such a name, and no call takes it
        return [written]
    through = Path(os.path.realpath(written.parent)) / written.name
    return list(dict.fromkeys([written, through, Path(os.path.realpath(path))]))


def relative(root: Path, path: Path) -> bytes | None:
    """`path` as the catalog writes it below `root` (b"" for the root itself); None outside."""
    parts, above = path.parts, root.parts
    if parts[: len(above)] != above and not _is_equal(parts[: len(above)], above):
        return None
    return os.fsencode("/".join(parts[len(above) :]))


def _is_equal(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return len(some) == len(others) and [*map(composed, some)] == [*map(composed, others)]


def is_file(word: str) -> bool:
    """Whether what may be words, or anything, is the path of a regular file."""
    try:
        return os.path.isfile(as_on_disk(Path(word)) if not word.isascii() else word)
    except ValueError:  # a NUL byte
        return False


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """Where to write what takes the place of `file` in the end: whole, or not at all."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    create(part)
    try:
        yield part
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)


def create(file: Path) -> None:
    """Make an empty file in place of whatever lies there, which may be a link.

    A library can come from anywhere, with links under the names that we write: what they lead to is
    not ours to write to. Raises OSError.
    """
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | NO_LINKS, 0o666))


def drop_link(file: Path) -> None:
    """Take away a link under the name of a file that we are going to open and write to, and that
    may be lost. Raises OSError.
    """
    if os.path.islink(file):
        file.unlink()


def identity(status: os.stat_result) -> tuple[int, int]:
    """Return what names a file or folder on this machine, whatever its path is."""
    return status.st_dev, status.st_ino


def size_of(path: Path) -> int:
    """Bytes; 0 for a file that is not there, or no longer: SQLite's come and go."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def database_files(path: Path) -> tuple[Path, ...]:
    """All that SQLite opens for a database, and creates where it is not there."""
    return tuple(path.with_name(path.name + end) for end in ("", "-wal", "-shm", "-journal"))
